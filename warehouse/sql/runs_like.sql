SELECT run_id FROM dim_run WHERE starts_with(run_id, $prefix) ORDER BY started_at, run_id
