CREATE TABLE IF NOT EXISTS schema_migrations (
    number INTEGER PRIMARY KEY,
    name VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    catalogue VARCHAR NOT NULL,
    applied_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE schema_migrations IS 'The steps of the schema that were applied.';
COMMENT ON COLUMN schema_migrations.number IS 'Number of the step.';
COMMENT ON COLUMN schema_migrations.name IS 'Name of the step.';
COMMENT ON COLUMN schema_migrations.sha256 IS 'Digest of the step''s text.';
COMMENT ON COLUMN schema_migrations.catalogue IS 'Digest of all tables, views and columns after the step.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied (UTC).';
