SELECT view_name AS name FROM duckdb_views() WHERE internal UNION SELECT table_name FROM duckdb_tables() WHERE internal
