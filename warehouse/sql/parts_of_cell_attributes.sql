SELECT c.slide_id, patient_id, cell_id, attribute, value, confidence, model_digest, p.part
FROM fact_cell_attribute AS c JOIN staging AS p ON p.slide_id = c.slide_id
WHERE c.shown AND c.rowid >= $first
