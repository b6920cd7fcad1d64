INSERT INTO dim_patient VALUES ($patient_key, $age_years, $sex)
ON CONFLICT DO UPDATE SET
    age_years = coalesce(excluded.age_years, dim_patient.age_years),
    sex = coalesce(excluded.sex, dim_patient.sex)
