INSERT INTO fact_attribute_count
SELECT t.result_key, c.cell_class, t.attribute, t.value, count(*)
FROM (
    SELECT * FROM fact_cell_attribute WHERE result_key = $result_key AND rowid >= $first_attribute
) AS t
JOIN (SELECT cell_id, cell_class FROM fact_cell WHERE result_key = $result_key AND rowid >= $first_cell) AS c
USING (cell_id)
GROUP BY ALL ORDER BY ALL
