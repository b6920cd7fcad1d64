SELECT DISTINCT s.patient_key, p.age_years
FROM analyses AS a JOIN dim_slide AS s USING (slide_id) LEFT JOIN dim_patient AS p USING (patient_key)
WHERE a.model_digest = $model_digest AND s.patient_key IS NOT NULL
ORDER BY s.patient_key
