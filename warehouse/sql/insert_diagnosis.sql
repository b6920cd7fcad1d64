INSERT INTO fact_patient_diagnosis VALUES (
    $diagnosis_key, $patient_key, $run_id, $model_digest, $status, $diagnosis, $probability,
    map($names::VARCHAR[], $chances::DOUBLE[]), $reasons, $slides, $total_cells, $blast_percent, $blast_low, $blast_high,
    $me_ratio, $rule_set, $rule_set_version, $diagnosis_model, false
)
