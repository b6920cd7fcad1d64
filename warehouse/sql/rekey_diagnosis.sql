UPDATE fact_differential SET diagnosis_key = s.after FROM staging AS s WHERE diagnosis_key = s.before;
UPDATE fact_patient_diagnosis SET diagnosis_key = s.after FROM staging AS s WHERE diagnosis_key = s.before;
