SELECT run_id FROM dim_run
WHERE "trigger" = $trigger AND state IN ('done', 'done_with_quarantine') AND started_at >= $since
LIMIT 1
