SELECT run_id FROM dim_run WHERE state = 'running' ORDER BY started_at, run_id
