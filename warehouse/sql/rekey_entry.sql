UPDATE ledger_event SET slide_id = s.after FROM staging AS s WHERE slide_id = s.before;
UPDATE quarantine_release SET slide_id = s.after FROM staging AS s WHERE slide_id = s.before;
