SELECT run_id, started_at, finished_at, state, "trigger", code_version, settings, discovered, done, quarantined, deferred
FROM dim_run WHERE run_id = $run_id
