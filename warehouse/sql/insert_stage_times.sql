INSERT INTO stage_time BY NAME SELECT * FROM staging
