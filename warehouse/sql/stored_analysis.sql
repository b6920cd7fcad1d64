-- What the database holds of an analysis that is being stored, counted from the rows themselves.
WITH mine AS (
    SELECT cell_id, field_id, cell_class FROM fact_cell WHERE result_key = $result_key AND rowid >= $first_cell
),
fields AS (
    SELECT field_id, found_cells FROM fact_field WHERE result_key = $result_key AND rowid >= $first_field
),
found AS (
    SELECT field_id, count(*) AS cells FROM mine GROUP BY field_id
),
classes AS (
    SELECT k.label, k.in_differential
    FROM fact_analysis AS a
    JOIN dim_model AS m ON m.digest = a.model_digest
    JOIN dim_cell_class AS k USING (taxonomy_digest)
    WHERE a.result_key = $result_key
),
attributes AS (
    SELECT DISTINCT t.cell_id, t.attribute
    FROM fact_cell_attribute AS t
    JOIN fact_analysis AS a USING (result_key)
    JOIN dim_attribute_value AS v USING (model_digest, attribute, value)
    WHERE t.result_key = $result_key AND t.rowid >= $first_attribute
)
SELECT
    (SELECT count(*) FROM mine) AS cells,
    (SELECT count(DISTINCT cell_id) FROM mine) AS cell_ids,
    (SELECT count(*) FROM mine ANTI JOIN fields USING (field_id)) AS homeless,
    (SELECT count(*) FROM fields LEFT JOIN found USING (field_id) WHERE found_cells <> coalesce(cells, 0)) AS field_faults,
    (SELECT count(*) FROM mine JOIN classes ON label = cell_class) AS class_cells,
    (SELECT count(*) FROM attributes SEMI JOIN mine USING (cell_id)) AS attributes,
    (SELECT count(*) FROM mine JOIN classes ON label = cell_class WHERE in_differential) AS counted_cells
