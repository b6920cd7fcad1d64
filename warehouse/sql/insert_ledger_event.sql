INSERT INTO ledger_event (run_id, slide_id, attempt, state, reason, detail, entered_at)
VALUES ($run_id, $slide_id, $attempt, $state, $reason, $detail, $at)
