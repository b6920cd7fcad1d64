-- A small table of the analysts' file (its name is put in for small_table) brought to what the warehouse says now: rows that it
-- does not say any more go, new ones come, and the others, which are nearly all, are not touched. Rows are compared as a whole.
DELETE FROM small_table WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, small_table AS told FROM small_table)
    ANTI JOIN (SELECT staging AS told FROM staging) USING (told)
);
INSERT INTO small_table SELECT * FROM (FROM staging EXCEPT FROM small_table) ORDER BY ALL
