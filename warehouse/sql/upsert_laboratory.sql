INSERT INTO fact_laboratory SELECT $patient_key, name, value FROM staging
ON CONFLICT DO UPDATE SET value = excluded.value
