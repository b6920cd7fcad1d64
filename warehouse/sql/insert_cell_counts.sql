INSERT INTO fact_cell_count
SELECT result_key, cell_class, count(*) FROM fact_cell
WHERE result_key = $result_key AND rowid >= $first_cell
GROUP BY ALL ORDER BY cell_class
