INSERT INTO dim_attribute_value BY NAME SELECT $model_digest AS model_digest, * FROM staging
