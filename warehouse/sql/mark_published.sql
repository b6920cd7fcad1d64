UPDATE schema_migrations SET catalogue = $catalogue WHERE number = (SELECT max(number) FROM schema_migrations)
