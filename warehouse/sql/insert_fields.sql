INSERT INTO fact_field BY NAME SELECT $result_key AS result_key, * FROM staging
