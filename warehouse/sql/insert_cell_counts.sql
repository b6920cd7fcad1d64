INSERT INTO fact_cell_count
SELECT $result_key, offered.cell_class, count(found.cell_class)
FROM (
    SELECT unnest(labels) AS cell_class, unnest(range(len(labels))) AS place FROM dim_model WHERE digest = $model_digest
) AS offered
LEFT JOIN (
    SELECT cell_class FROM fact_cell WHERE result_key = $result_key AND rowid >= $first_cell
) AS found USING (cell_class)
GROUP BY offered.cell_class, place ORDER BY place
