SELECT run_id FROM dim_run WHERE state = 'running' ORDER BY run_number
