UPDATE dim_patient SET patient_key = s.after FROM staging AS s WHERE patient_key = s.before;
UPDATE fact_laboratory SET patient_key = s.after FROM staging AS s WHERE patient_key = s.before;
UPDATE dim_slide SET patient_key = s.after FROM staging AS s WHERE patient_key = s.before;
UPDATE fact_patient_diagnosis SET patient_key = s.after FROM staging AS s WHERE patient_key = s.before;
