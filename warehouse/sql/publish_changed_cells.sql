UPDATE fact_cell SET
    slide_id = r.slide_id, patient_id = r.patient_id, model_digest = r.model_digest, title = k.title, category = k.category,
    lineage = k.lineage, in_differential = k.in_differential, shown = r.shown
FROM result_changed AS r JOIN dim_cell_class AS k USING (taxonomy_digest)
WHERE fact_cell.result_key = r.result_key AND fact_cell.cell_class = k.label
