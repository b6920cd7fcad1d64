-- Slides whose last state is quarantine. since and attempts reach back to when the slide was last well, if it ever was.
WITH latest_release AS (
    SELECT slide_id, max(released_at) AS released_at FROM quarantine_release GROUP BY slide_id
),
well AS (
    SELECT slide_id, max(event_number) AS event_number FROM ledger_event WHERE state = 'done' GROUP BY slide_id
),
ill AS (
    SELECT e.slide_id, min(e.entered_at) FILTER (e.state = 'quarantined') AS since,
        -- A night that only let the earlier refusal stand spent no time on the slide.
        count(DISTINCT e.run_id) FILTER (t.run_id IS NOT NULL) AS attempts
    FROM ledger_event AS e
    LEFT JOIN well AS w USING (slide_id)
    LEFT JOIN stage_time AS t ON t.run_id = e.run_id AND t.slide_id = e.slide_id
    WHERE e.event_number > coalesce(w.event_number, 0)
    GROUP BY e.slide_id
),
tried AS (
    SELECT slide_id, detail FROM ledger_event WHERE state = 'discovered' AND starts_with(detail, 'tried with ')
    QUALIFY row_number() OVER (PARTITION BY slide_id ORDER BY event_number DESC) = 1
)
SELECT
    s.slide_id, s.patient_id, s.reason, l.detail, i.since, greatest(i.attempts, 1) AS attempts, s.changed_at, s.run_id,
    coalesce(r.released_at >= s.changed_at, false) AS released, t.detail AS tried_with
FROM slides AS s
JOIN ledger_states AS l USING (run_id, slide_id)
JOIN ill AS i USING (slide_id)
LEFT JOIN latest_release AS r USING (slide_id)
LEFT JOIN tried AS t USING (slide_id)
WHERE s.state = 'quarantined'
ORDER BY i.since, s.slide_id
