SELECT * FROM ledger_states WHERE run_id = $run_id ORDER BY slide_id
