SELECT run_id, slide_id, attempt, state, reason, detail, entered_at
FROM ledger_event
WHERE run_id = $run_id AND slide_id = $slide_id
ORDER BY event_number DESC
LIMIT 1
