SELECT result_key, is_current, cells, counted_cells
FROM fact_analysis
WHERE slide_id = $slide_id AND model_digest = $model_digest AND config_digest = $config_digest
ORDER BY is_current DESC, result_key
LIMIT 1
