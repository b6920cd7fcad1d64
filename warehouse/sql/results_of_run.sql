-- What a run stored, and the results of earlier runs that it let stand.
SELECT
    a.result_key, a.slide_id, a.run_id, a.model_digest, a.config_digest, a.fields, a.cells, a.counted_cells, a.analysed_um2,
    m.name AS model, m.version AS model_version
FROM fact_analysis AS a
LEFT JOIN dim_model AS m ON m.digest = a.model_digest
LEFT JOIN ledger_states AS l ON l.slide_id = a.slide_id AND l.run_id = $run_id AND l.state = 'done'
WHERE a.run_id = $run_id
    OR (l.run_id IS NOT NULL AND a.is_current AND a.model_digest = $model_digest AND a.config_digest = $config_digest)
ORDER BY a.slide_id, a.result_key
