SELECT * FROM dim_run ORDER BY run_number DESC LIMIT 1
