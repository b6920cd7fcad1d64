INSERT INTO fact_cell BY NAME SELECT $result_key AS result_key, * FROM staging
