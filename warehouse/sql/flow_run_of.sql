SELECT json_extract_string(settings, '$.flow_run') AS flow_run FROM dim_run WHERE run_id = $run_id
