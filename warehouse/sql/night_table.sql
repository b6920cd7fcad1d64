SELECT slide_id, patient_id, state, reason, attempt, fields, cells, counted_cells, unchanged, seconds
FROM night WHERE run_id = $run_id ORDER BY slide_id
