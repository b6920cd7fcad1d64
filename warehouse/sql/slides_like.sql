SELECT DISTINCT slide_id FROM ledger_event WHERE starts_with(slide_id, $prefix) ORDER BY slide_id
