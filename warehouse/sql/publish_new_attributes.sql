INSERT INTO fact_cell_attribute BY NAME
SELECT t.*, r.slide_id, r.patient_id, r.model_digest, r.shown FROM staging AS t JOIN result_now AS r USING (result_key)
