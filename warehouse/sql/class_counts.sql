SELECT cell_class, count(*) AS cells FROM fact_cell WHERE result_key = $result_key GROUP BY cell_class
