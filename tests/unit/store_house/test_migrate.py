"""The schema is written once, applied once, and guarded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from marrow_models.errors import WarehouseError
from warehouse.connection import open_warehouse
from warehouse.migrate import Migration, check_current, check_published, known_migrations, mark_published, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection


@pytest.fixture
def connection() -> Iterator[DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield opened


def test_a_new_database_gets_every_migration_in_order(connection: DuckDBPyConnection) -> None:
    assert migrate(connection) == tuple(range(1, len(known_migrations()) + 1))
    rows = connection.execute("SELECT number, name, sha256 FROM schema_migrations ORDER BY number").fetchall()
    assert rows == [(m.number, m.name, m.sha256) for m in known_migrations()]


def test_a_current_database_is_left_alone(connection: DuckDBPyConnection) -> None:
    migrate(connection)
    before = connection.execute("FROM schema_migrations").fetchall()
    assert migrate(connection) == ()
    assert connection.execute("FROM schema_migrations").fetchall() == before


def test_only_what_is_pending_is_applied(connection: DuckDBPyConnection) -> None:
    migrate(connection, known_migrations()[:2])
    assert migrate(connection) == tuple(range(3, len(known_migrations()) + 1))
    check_current(connection)


def test_a_migration_that_fails_leaves_no_trace(connection: DuckDBPyConnection) -> None:
    good = Migration(1, "good", "CREATE TABLE a (x INTEGER)")
    bad = Migration(2, "bad", "CREATE TABLE b (x INTEGER); CREATE TABLE a (x INTEGER)")
    with pytest.raises(duckdb.CatalogException):
        migrate(connection, (good, bad))
    tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    assert tables == {"a", "schema_migrations"}
    assert connection.execute("SELECT number FROM schema_migrations").fetchall() == [(1,)]


def test_a_changed_migration_is_refused(connection: DuckDBPyConnection) -> None:
    first = Migration(1, "first", "CREATE TABLE a (x INTEGER)")
    migrate(connection, (first,))
    with pytest.raises(WarehouseError, match=r"migration 1 .* is not the one of this Marrow"):
        migrate(connection, (Migration(1, "first", "CREATE TABLE a (x BIGINT)"),))


def test_a_newer_schema_is_refused_and_says_what_to_do(connection: DuckDBPyConnection) -> None:
    migrate(connection)
    with pytest.raises(WarehouseError, match=r"has schema \d+, this Marrow knows 2: use the newer Marrow"):
        migrate(connection, known_migrations()[:2])


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE dim_patient ADD COLUMN surname VARCHAR",
        "DROP VIEW cells",
        "CREATE TABLE mine (x INTEGER)",
        "ALTER TABLE dim_slide ALTER objective_power TYPE INTEGER",
        "DELETE FROM schema_migrations",
    ],
)
def test_a_schema_changed_by_other_hands_is_refused(connection: DuckDBPyConnection, change: str) -> None:
    migrate(connection)
    connection.execute(change)
    with pytest.raises(WarehouseError, match="altered by other hands"):
        migrate(connection)


def test_a_foreign_database_is_refused_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "foreign.duckdb"
    with duckdb.connect(str(path)) as foreign:
        foreign.execute("CREATE TABLE holiday AS SELECT 1 AS day")
    with pytest.raises(WarehouseError, match=r"not a warehouse of Marrow.*marrow restore"), open_warehouse(path):
        pass
    with duckdb.connect(str(path)) as foreign:
        assert foreign.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("holiday",)]


def test_a_published_copy_is_never_taken_for_the_warehouse(connection: DuckDBPyConnection) -> None:
    migrate(connection)
    with pytest.raises(WarehouseError):
        check_published(connection)
    mark_published(connection)
    check_published(connection)
    with pytest.raises(WarehouseError, match="altered"):
        migrate(connection)
