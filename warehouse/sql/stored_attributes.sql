SELECT cell_id, attribute, value, confidence FROM fact_cell_attribute WHERE result_key = $result_key
ORDER BY cell_id, attribute
