INSERT INTO fact_attribute_count BY NAME
SELECT t.*, r.slide_id, r.patient_id, r.specimen, r.model_digest, r.shown
FROM staging AS t JOIN result_now AS r USING (result_key)
