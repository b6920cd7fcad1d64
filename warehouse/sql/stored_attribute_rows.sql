-- Of an analysis that is being stored: how many attributes of its cells were told with a value that the attribute has.
SELECT count(*) AS attributes
FROM (
    SELECT DISTINCT t.cell_id, t.attribute
    FROM fact_cell_attribute AS t
    JOIN dim_attribute_value AS v USING (attribute, value)
    WHERE t.result_key = $result_key AND t.rowid >= $first_attribute AND v.model_digest = $model_digest
)
SEMI JOIN (SELECT cell_id FROM fact_cell WHERE result_key = $result_key AND rowid >= $first_cell) USING (cell_id)
