INSERT INTO fact_differential BY NAME SELECT $diagnosis_key AS diagnosis_key, * FROM staging
