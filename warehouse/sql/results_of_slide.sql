SELECT
    a.result_key, a.run_id, r.started_at, m.name AS model, m.version AS model_version, a.model_digest, a.config_digest,
    a.fields, a.cells, a.counted_cells, a.analysed_um2, a.is_current
FROM fact_analysis AS a
LEFT JOIN dim_model AS m ON m.digest = a.model_digest
LEFT JOIN dim_run AS r USING (run_id)
WHERE a.slide_id = $slide_id
ORDER BY r.started_at, a.result_key
