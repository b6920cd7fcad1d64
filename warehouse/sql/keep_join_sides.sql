-- Of rows that stream in DuckDB cannot tell how many there will be: it takes them for one, and would build the hash table of
-- a join of all cells instead of the few analyses and classes that they are joined with.
SET disabled_optimizers = 'build_side_probe_side'
