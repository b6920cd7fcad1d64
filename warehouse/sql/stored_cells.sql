SELECT * EXCLUDE (result_key) FROM fact_cell WHERE result_key = $result_key ORDER BY y_um, x_um, cell_id
