SELECT slide_id, patient_id, state, reason, specimen, format, um_per_px, changed_at, run_id
FROM slides ORDER BY changed_at DESC, slide_id
