SELECT stage, slide_id, started_at, seconds FROM stage_time WHERE run_id = $run_id ORDER BY started_at
