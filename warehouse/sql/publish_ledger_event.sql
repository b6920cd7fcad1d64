SELECT * REPLACE (NULL::VARCHAR AS detail) FROM ledger_event WHERE rowid >= $first
