SELECT DISTINCT s.patient_key
FROM ledger_event AS l JOIN dim_slide AS s USING (slide_id)
WHERE l.run_id = $run_id AND s.patient_key IS NOT NULL
ORDER BY s.patient_key
