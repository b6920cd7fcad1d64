SELECT
    c.slide_id, patient_id, cell_class, cells::BIGINT AS cells,
    CASE WHEN in_differential AND counted_cells > 0 THEN 100.0::DOUBLE * cells / counted_cells END AS percent,
    title, category, lineage, in_differential, in_me, counted_cells, specimen, model_digest, p.part
FROM fact_cell_count AS c JOIN staging AS p ON p.slide_id = c.slide_id
WHERE c.shown AND c.rowid >= $first
