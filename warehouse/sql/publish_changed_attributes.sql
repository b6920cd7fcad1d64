UPDATE fact_cell_attribute SET
    slide_id = r.slide_id, patient_id = r.patient_id, model_digest = r.model_digest, shown = r.shown
FROM result_changed AS r
WHERE fact_cell_attribute.result_key = r.result_key
