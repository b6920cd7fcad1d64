SELECT number, name, sha256, catalogue FROM schema_migrations ORDER BY number
