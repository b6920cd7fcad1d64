UPDATE fact_patient_diagnosis SET is_current = (diagnosis_key = $diagnosis_key)
WHERE patient_key = (SELECT patient_key FROM fact_patient_diagnosis WHERE diagnosis_key = $diagnosis_key)
    AND is_current <> (diagnosis_key = $diagnosis_key)
