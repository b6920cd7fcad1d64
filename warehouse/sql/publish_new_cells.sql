INSERT INTO fact_cell BY NAME
SELECT
    c.*, r.slide_id, r.patient_id, r.model_digest, k.title, k.category, k.lineage, k.in_differential,
    r.shown AND k.label IS NOT NULL AS shown
FROM staging AS c
JOIN result_now AS r USING (result_key)
LEFT JOIN dim_cell_class AS k ON k.taxonomy_digest = r.taxonomy_digest AND k.label = c.cell_class
