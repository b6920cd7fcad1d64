INSERT INTO dim_run (run_id, started_at, state, "trigger", code_version, settings, run_number)
SELECT
    $run_id, $started_at, 'running', $trigger, $code_version, $settings,
    (SELECT coalesce(max(run_number), 0) + 1 FROM dim_run)
