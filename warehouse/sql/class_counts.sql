SELECT cell_class, cells FROM fact_cell_count WHERE result_key = $result_key AND cells > 0
