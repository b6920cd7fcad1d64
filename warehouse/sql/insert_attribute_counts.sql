INSERT INTO fact_attribute_count
WITH mine AS (
    SELECT cell_id, cell_class FROM fact_cell WHERE result_key = $result_key AND rowid >= $first_cell
),
classes AS (
    SELECT cell_class, count(*) AS class_cells FROM mine GROUP BY cell_class
),
told AS (
    SELECT mine.cell_class, t.attribute, t.value, count(*) AS cells
    FROM (
        SELECT cell_id, attribute, value FROM fact_cell_attribute
        WHERE result_key = $result_key AND rowid >= $first_attribute
    ) AS t
    JOIN mine USING (cell_id)
    GROUP BY ALL
)
SELECT
    $result_key, k.cell_class, v.attribute, v.value, coalesce(t.cells, 0), k.class_cells, v.attribute_position,
    v.value_position
FROM classes AS k
JOIN dim_attribute_value AS v ON v.model_digest = $model_digest
LEFT JOIN told AS t ON t.cell_class = k.cell_class AND t.attribute = v.attribute AND t.value = v.value
ORDER BY k.cell_class, v.attribute_position, v.value_position
