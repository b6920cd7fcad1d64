INSERT INTO fact_analysis VALUES (
    $result_key, $slide_id, $model_digest, $config_digest, $run_id, $fields, $cells, $counted_cells, $analysed_um2,
    $seconds, false
)
