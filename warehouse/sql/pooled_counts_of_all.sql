-- As pooled_counts.sql, of every patient at once: counts are read once and not once a patient.
WITH mine AS (
    SELECT a.patient_id, coalesce(a.specimen, 'bone_marrow') AS specimen, a.result_key
    FROM analyses AS a
    WHERE a.patient_id IS NOT NULL AND a.model_digest = $model_digest
),
keys AS (
    SELECT patient_id, specimen, list(result_key ORDER BY result_key) AS result_keys FROM mine GROUP BY ALL
),
counted AS (
    SELECT mine.patient_id, mine.specimen, c.cell_class, sum(c.cells)::BIGINT AS cells
    FROM fact_cell_count AS c JOIN mine USING (result_key) GROUP BY ALL
),
pooled AS (
    SELECT c.patient_id, c.specimen, list(c.cell_class ORDER BY list_position(m.labels, c.cell_class)) AS classes,
        list(c.cells ORDER BY list_position(m.labels, c.cell_class)) AS cells
    FROM counted AS c JOIN dim_model AS m ON m.digest = $model_digest
    GROUP BY ALL
)
SELECT patient_id, specimen, result_keys, classes, cells
FROM keys JOIN pooled USING (patient_id, specimen)
ORDER BY patient_id, specimen
