SELECT * EXCLUDE (result_key) FROM fact_field WHERE result_key = $result_key ORDER BY field_id
