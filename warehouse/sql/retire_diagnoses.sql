UPDATE fact_patient_diagnosis SET is_current = false
WHERE is_current AND patient_key NOT IN (SELECT patient_id FROM analyses WHERE patient_id IS NOT NULL)
