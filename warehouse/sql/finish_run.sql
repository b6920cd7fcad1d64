UPDATE dim_run SET
    state = $state, finished_at = $finished_at, discovered = $discovered, done = $done, quarantined = $quarantined,
    deferred = $deferred
WHERE run_id = $run_id
