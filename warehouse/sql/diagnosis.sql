SELECT * FROM fact_patient_diagnosis WHERE diagnosis_key = $diagnosis_key
