SELECT table_name, column_index, column_name, data_type, is_nullable
FROM duckdb_columns()
WHERE database_name = current_database() AND NOT internal AND table_name <> 'staging'
ORDER BY table_name, column_index
