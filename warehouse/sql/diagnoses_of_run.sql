SELECT d.*, p.age_years
FROM fact_patient_diagnosis AS d LEFT JOIN dim_patient AS p USING (patient_key)
WHERE d.run_id = $run_id
ORDER BY d.patient_key, d.diagnosis_key
