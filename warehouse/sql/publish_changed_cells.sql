UPDATE fact_cell SET
    slide_id = r.slide_id, patient_id = r.patient_id, model_digest = r.model_digest, title = k.title, category = k.category,
    lineage = k.lineage, in_differential = k.in_differential, shown = r.shown
FROM result_changed AS r JOIN dim_cell_class AS k USING (taxonomy_digest)
WHERE fact_cell.result_key = r.result_key AND fact_cell.cell_class = k.label;
UPDATE fact_cell_count SET
    slide_id = r.slide_id, patient_id = r.patient_id, specimen = r.specimen, model_digest = r.model_digest,
    title = k.title, category = k.category, lineage = k.lineage, in_differential = k.in_differential, in_me = k.in_me,
    shown = r.shown
FROM result_changed AS r JOIN dim_cell_class AS k USING (taxonomy_digest)
WHERE fact_cell_count.result_key = r.result_key AND fact_cell_count.cell_class = k.label;
UPDATE fact_cell_attribute SET
    slide_id = r.slide_id, patient_id = r.patient_id, model_digest = r.model_digest, shown = r.shown
FROM result_changed AS r
WHERE fact_cell_attribute.result_key = r.result_key;
UPDATE fact_attribute_count SET
    slide_id = r.slide_id, patient_id = r.patient_id, specimen = r.specimen, model_digest = r.model_digest, shown = r.shown
FROM result_changed AS r
WHERE fact_attribute_count.result_key = r.result_key;
