"""The rows of the analysts' file: all of them in a new one, or what is new since a file was published.

Rows of most tables are only ever added, so what a file lacks of them are the last ones. The other tables are small (a
row a slide or patient): all of their rows are compared, and those that differ written again. Cells know whose they are
and what their class means; where that has changed, their rows are put right.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warehouse.migrate import known_migrations, migrate
from warehouse.rekey import key_ids
from warehouse.sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from warehouse.connection import Database

PRIVATE = ("known_file", "quarantine_release", "writer_fence")
"""Tables that are not published at all."""

SMALL = (
    "dim_patient",
    "fact_laboratory",
    "dim_slide",
    "dim_model",
    "dim_cell_class",
    "dim_attribute_value",
    "dim_run",
    "fact_analysis",
    "fact_patient_diagnosis",
)
"""Small tables whose rows may change."""

GROWING = (
    "ledger_event",
    "stage_time",
    "expectation_result",
    "fact_field",
    "fact_differential",
)
"""Tables whose rows are only ever added, as long as the key of the pseudonyms stays."""

CELLS = {
    "fact_cell": "publish_new_cells",
    "fact_cell_count": "publish_new_cell_counts",
    "fact_cell_attribute": "publish_new_attributes",
    "fact_attribute_count": "publish_new_attribute_counts",
}
"""The large tables, of which the same holds, and the statement that adds what views show with each row."""

REDACTED = {"dim_run": "publish_dim_run", "ledger_event": "publish_ledger_event"}
"""Tables of which some columns are published empty, and the statement that empties them."""

PUBLIC = (*SMALL, *GROWING, *CELLS)
"""Tables that are published."""

BATCH_ROWS = 100_000
MOST_CHANGED = 0.2
"""Share of the analyses that may have changed; a file in which more has is written anew."""


class NotTheSame(Exception):
    """A published file is not an earlier state of this warehouse."""


@dataclass(frozen=True, slots=True)
class New:
    """What a publication added."""

    expected: dict[str, int]
    """Table to the rows that the warehouse has."""
    results: frozenset[str] | None
    """Keys of the analyses that came with it; None: all."""
    first: dict[str, int]
    """Growing table to the number of its first row that came with it."""


def basis_of(warehouse: Database) -> str:
    """Digest (hex) of what must not change between a file and what is added to it: schema, pseudonyms."""
    parts = [*(migration.sha256 for migration in known_migrations()), statement("shape_published"), *key_ids(warehouse)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def shape(copy: DuckDBPyConnection, basis: str) -> None:
    """Make the tables and views of an analysts' file in an empty database."""
    migrate(copy)
    copy.execute(statement("shape_published"))
    copy.execute(statement("insert_basis"), {"basis": basis})


def fill(source: DuckDBPyConnection, copy: DuckDBPyConnection) -> New:
    """Copy all public rows into an empty analysts' file."""
    return _add(source, copy, dict.fromkeys((*GROWING, *CELLS), 0), anew=True)


def bring_forward(source: DuckDBPyConnection, copy: DuckDBPyConnection, basis: str) -> New:
    """Add what the analysts' file ``copy`` lacks; NotTheSame where it is no earlier state of the warehouse.

    It is one where it was made on the same basis, all of its runs are in the warehouse, and of every growing table its
    last row is the warehouse's row of that number.
    """
    if copy.execute(statement("basis")).fetchall() != [(basis,)]:
        raise NotTheSame("basis")
    runs = set(source.execute(statement("runs_of_all")).fetchall())
    if not runs.issuperset(copy.execute(statement("runs_of_all")).fetchall()):
        raise NotTheSame("runs")
    first = {table: len(copy.table(table)) for table in (*GROWING, *CELLS)}
    for table, rows in first.items():
        if rows > len(source.table(table)):
            raise NotTheSame(table)
        if rows and table in GROWING and _row(source, table, rows - 1) != _row(copy, table, rows - 1):
            raise NotTheSame(table)
    return _add(source, copy, first, anew=False)


def _add(source: DuckDBPyConnection, copy: DuckDBPyConnection, first: dict[str, int], *, anew: bool) -> New:
    for table in SMALL:
        if anew:
            _copy_table(source, copy, table, 0)
        else:
            _update_table(source, copy, table)
    for table in GROWING:
        _copy_table(source, copy, table, first[table])
    copy.execute(statement("results_to_publish"))
    if not anew:
        _put_right(copy, first["fact_cell"])
    new = None if anew else frozenset(key for (key,) in copy.execute(statement("new_results")).fetchall())
    copy.execute(statement("keep_join_sides"))
    for table, insert in CELLS.items():
        copy.register("staging", _rows_from(source, table, first[table]).to_arrow_reader(BATCH_ROWS))
        copy.execute(statement(insert))
        copy.unregister("staging")
    copy.execute(statement("choose_join_sides"))
    ((short,),) = copy.execute(statement("published_short"), {"first_cell": first["fact_cell"]}).fetchall()
    if short and not anew:  # in a new file the number of rows says so as well
        raise NotTheSame("cells")
    copy.execute(statement("publish_results"))
    expected = {table: len(source.table(table)) for table in PUBLIC}
    return New(expected, new, first)


def _put_right(copy: DuckDBPyConnection, cells: int) -> None:
    """Update the cells of analyses that stand otherwise than when they were published."""
    ((changed, published, gone, told),) = copy.execute(statement("count_changed_results")).fetchall()
    if gone or told != cells or changed > MOST_CHANGED * published:
        raise NotTheSame("results")
    if changed:
        copy.execute(statement("publish_changed_cells"))


def _copy_table(source: DuckDBPyConnection, copy: DuckDBPyConnection, table: str, first: int) -> None:
    copy.from_arrow(_rows_from(source, table, first).to_arrow_reader(BATCH_ROWS)).insert_into(table)


def _update_table(source: DuckDBPyConnection, copy: DuckDBPyConnection, table: str) -> None:
    copy.register("staging", _rows_from(source, table, 0).to_arrow_table())
    copy.execute(statement("update_small_table").replace("small_table", table))
    copy.unregister("staging")


def _row(connection: DuckDBPyConnection, table: str, number: int) -> object:
    return _rows_from(connection, table, number).limit(1).fetchall()


def _rows_from(connection: DuckDBPyConnection, table: str, first: int) -> DuckDBPyRelation:
    """The rows of a table from the one with the number ``first`` on, as they may be published."""
    if table in REDACTED:
        return connection.sql(statement(REDACTED[table]), params={"first": first})
    rows = connection.table(table)
    return rows.filter(f"rowid >= {first}") if first else rows
