INSERT INTO fact_cell_attribute BY NAME SELECT $result_key AS result_key, * FROM staging
