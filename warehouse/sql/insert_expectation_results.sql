INSERT INTO expectation_result BY NAME SELECT * FROM staging
