WITH found AS (
    SELECT result_key, count(*) AS cells, count(DISTINCT cell_id) AS cell_ids FROM fact_cell GROUP BY result_key
),
fields AS (
    SELECT result_key, count(*) AS fields, sum(found_cells) AS cells FROM fact_field GROUP BY result_key
),
told AS (
    SELECT result_key, attribute, count(*) AS cells, count(DISTINCT cell_id) AS cell_ids
    FROM fact_cell_attribute GROUP BY result_key, attribute
),
to_tell AS (
    SELECT DISTINCT a.result_key, a.cells, v.attribute
    FROM fact_analysis AS a JOIN dim_attribute_value AS v USING (model_digest)
)
SELECT 'analyses whose cells are not all there' AS fault, count(*) AS rows
FROM fact_analysis AS a LEFT JOIN found AS f USING (result_key) WHERE a.cells <> coalesce(f.cells, 0)
UNION ALL
SELECT 'analyses with a cell number twice', count(*) FROM found WHERE cells <> cell_ids
UNION ALL
SELECT 'analyses whose fields are not all there', count(*)
FROM fact_analysis AS a LEFT JOIN fields AS f USING (result_key)
WHERE a.fields <> coalesce(f.fields, 0) OR a.cells <> coalesce(f.cells, 0)
UNION ALL
SELECT 'cells of no analysis', count(*) FROM fact_cell ANTI JOIN fact_analysis USING (result_key)
UNION ALL
SELECT 'analyses whose attributes are not all there', count(DISTINCT result_key)
FROM to_tell AS a LEFT JOIN told AS t USING (result_key, attribute) WHERE a.cells <> coalesce(t.cells, 0)
UNION ALL
SELECT 'analyses with an attribute of a cell twice', count(DISTINCT result_key) FROM told WHERE cells <> cell_ids
UNION ALL
SELECT 'attributes of no cell', count(*) FROM fact_cell_attribute ANTI JOIN fact_cell USING (result_key, cell_id)
UNION ALL
SELECT 'attributes that the model does not tell', count(*)
FROM fact_cell_attribute AS t JOIN fact_analysis AS a USING (result_key)
ANTI JOIN dim_attribute_value AS v
    ON v.model_digest = a.model_digest AND v.attribute = t.attribute AND v.value = t.value
UNION ALL
SELECT 'analyses of no slide', count(*) FROM fact_analysis ANTI JOIN dim_slide USING (slide_id)
UNION ALL
SELECT 'analyses by no model', count(*)
FROM fact_analysis AS a ANTI JOIN dim_model AS m ON m.digest = a.model_digest
UNION ALL
SELECT 'slides with more than one current analysis', count(*)
FROM (SELECT slide_id FROM fact_analysis WHERE is_current GROUP BY slide_id HAVING count(*) > 1)
UNION ALL
SELECT 'slides without a current analysis', count(*)
FROM (SELECT slide_id FROM fact_analysis GROUP BY slide_id HAVING NOT bool_or(is_current))
UNION ALL
SELECT 'patients with more than one current suggestion', count(*)
FROM (SELECT patient_key FROM fact_patient_diagnosis WHERE is_current GROUP BY patient_key HAVING count(*) > 1)
UNION ALL
SELECT 'differentials of no suggestion', count(*)
FROM fact_differential ANTI JOIN fact_patient_diagnosis USING (diagnosis_key)
UNION ALL
SELECT 'events of no run', count(*) FROM ledger_event ANTI JOIN dim_run USING (run_id)
UNION ALL
SELECT 'classes counted otherwise than their cells', count(*)
FROM (SELECT result_key, cell_class, count(*) AS cells FROM fact_cell GROUP BY ALL) AS f
FULL JOIN fact_cell_count AS c USING (result_key, cell_class) WHERE coalesce(f.cells, 0) IS DISTINCT FROM c.cells
UNION ALL
SELECT 'attributes counted otherwise than their cells', count(*)
FROM (SELECT result_key, attribute, value, count(*) AS cells FROM fact_cell_attribute GROUP BY ALL) AS t
FULL JOIN (SELECT result_key, attribute, value, sum(cells) AS cells FROM fact_attribute_count GROUP BY ALL) AS c
USING (result_key, attribute, value) WHERE coalesce(t.cells, 0) IS DISTINCT FROM c.cells
