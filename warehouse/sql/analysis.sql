SELECT * FROM fact_analysis WHERE result_key = $result_key
