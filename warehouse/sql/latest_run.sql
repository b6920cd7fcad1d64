SELECT * FROM dim_run ORDER BY started_at DESC, run_id DESC LIMIT 1
