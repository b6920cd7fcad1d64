"""The DuckDB warehouse: migrations, ledger, loading, validation suites, publishing and reading."""
