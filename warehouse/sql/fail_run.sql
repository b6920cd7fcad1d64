UPDATE dim_run SET state = 'failed' WHERE run_id = $run_id
