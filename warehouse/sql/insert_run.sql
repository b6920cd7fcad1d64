INSERT INTO dim_run (run_id, started_at, state, "trigger", code_version, settings)
VALUES ($run_id, $started_at, 'running', $trigger, $code_version, $settings)
