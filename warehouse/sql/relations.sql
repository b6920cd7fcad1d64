SELECT table_name AS name, 'table' AS kind, comment FROM duckdb_tables()
WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT view_name, 'view', comment FROM duckdb_views() WHERE database_name = current_database() AND NOT internal
ORDER BY kind, name
