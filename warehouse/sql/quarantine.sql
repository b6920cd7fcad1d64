WITH latest_release AS (
    SELECT slide_id, max(released_at) AS released_at FROM quarantine_release GROUP BY slide_id
)
SELECT
    s.slide_id, s.patient_id, s.reason, l.detail, s.changed_at, s.run_id,
    coalesce(r.released_at >= s.changed_at, false) AS released
FROM slides AS s
JOIN ledger_states AS l USING (run_id, slide_id)
LEFT JOIN latest_release AS r USING (slide_id)
WHERE s.state = 'quarantined'
ORDER BY s.changed_at, s.slide_id
