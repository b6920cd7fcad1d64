WITH mine AS (
    SELECT a.result_key, coalesce(a.specimen, 'bone_marrow') AS specimen
    FROM analyses AS a
    WHERE a.patient_id = $patient_key AND a.model_digest = $model_digest
),
keys AS (
    SELECT specimen, list(result_key ORDER BY result_key) AS result_keys FROM mine GROUP BY specimen
),
offered AS (
    SELECT unnest(labels) AS cell_class, unnest(range(len(labels))) AS place FROM dim_model WHERE digest = $model_digest
),
counted AS (
    SELECT mine.specimen, cell_class, sum(cells)::BIGINT AS cells FROM fact_cell_count JOIN mine USING (result_key) GROUP BY ALL
)
SELECT keys.specimen, keys.result_keys, offered.cell_class, coalesce(counted.cells, 0) AS cells
FROM keys
CROSS JOIN offered
LEFT JOIN counted ON counted.specimen = keys.specimen AND counted.cell_class = offered.cell_class
ORDER BY keys.specimen, offered.place
