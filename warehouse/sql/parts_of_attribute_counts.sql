SELECT
    c.slide_id, patient_id, cell_class, attribute, value, cells::BIGINT AS cells,
    100.0::DOUBLE * cells / class_cells AS percent, class_cells::BIGINT AS class_cells, attribute_position, value_position,
    specimen, model_digest, p.part
FROM fact_attribute_count AS c JOIN staging AS p ON p.slide_id = c.slide_id
WHERE c.shown AND c.rowid >= $first
