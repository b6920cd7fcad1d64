INSERT INTO fact_cell_count BY NAME
SELECT
    c.*, r.slide_id, r.patient_id, r.specimen, r.model_digest, k.title, k.category, k.lineage, k.in_differential, k.in_me,
    a.counted_cells, r.shown AND k.label IS NOT NULL AS shown
FROM staging AS c
JOIN result_now AS r USING (result_key)
JOIN fact_analysis AS a USING (result_key)
LEFT JOIN dim_cell_class AS k ON k.taxonomy_digest = r.taxonomy_digest AND k.label = c.cell_class
