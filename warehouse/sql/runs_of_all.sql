SELECT run_id FROM dim_run
