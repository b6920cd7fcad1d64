SELECT
    c.slide_id, cell_id, x_um, y_um, width_um, height_um, cell_class, confidence, detection_score, title, category, lineage,
    in_differential, near_missing, field_id, probabilities, patient_id, model_digest, p.part
FROM fact_cell AS c JOIN staging AS p ON p.slide_id = c.slide_id
WHERE c.shown AND c.rowid >= $first
