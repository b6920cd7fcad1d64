-- Everything that is a keyed hash: what a rotation of the key has to replace.
WITH patients AS (
    SELECT patient_key FROM dim_patient
    UNION SELECT patient_key FROM fact_laboratory
    UNION SELECT patient_key FROM dim_slide
    UNION SELECT patient_key FROM fact_patient_diagnosis
),
entries AS (
    SELECT slide_id FROM ledger_event UNION SELECT slide_id FROM quarantine_release
)
SELECT 'patient' AS kind, patient_key AS value FROM patients WHERE patient_key IS NOT NULL
UNION ALL
SELECT 'entry', slide_id FROM entries WHERE starts_with(slide_id, 'e')
UNION ALL
SELECT 'file', fingerprint FROM known_file
UNION ALL
SELECT 'diagnosis', diagnosis_key FROM fact_patient_diagnosis
ORDER BY kind, value
