"""Publishing: the analysts' DuckDB file and Parquet files, replaced in one step while readers go on.

The published file has the same schema as the warehouse, made by the same migrations, without the private
tables. Rows travel through memory as Arrow batches, so the warehouse never needs to open another file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from marrow_models.errors import CannotWrite, WarehouseError
from warehouse.connection import CLOSED_TO_THE_WORLD
from warehouse.files import remove, replacing
from warehouse.migrate import mark_published, migrate
from warehouse.parquet import BATCH_ROWS, PARQUET_VIEWS, publish_parquet
from warehouse.published import open_published
from warehouse.sql import statement

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from warehouse.connection import Database, Warehouse

PRIVATE = ("known_file", "quarantine_release", "writer_fence")
"""Tables that are not published at all."""

REDACTED = {"dim_run": "publish_dim_run", "ledger_event": "publish_ledger_event"}
"""Tables of which some columns are published empty, and the statement that empties them."""

PUBLIC = (
    "dim_patient",
    "fact_laboratory",
    "dim_slide",
    "dim_model",
    "dim_cell_class",
    "dim_attribute_value",
    "dim_run",
    "ledger_event",
    "stage_time",
    "expectation_result",
    "fact_analysis",
    "fact_field",
    "fact_cell",
    "fact_cell_attribute",
    "fact_patient_diagnosis",
    "fact_differential",
)
"""Tables that are published."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published."""

    path: Path
    """The DuckDB file."""
    parquet: dict[str, Path]
    """View to Parquet file; the paths stay the same from night to night."""
    rows: dict[str, int]
    """View to number of rows."""


def publish(warehouse: Warehouse, folder: Path) -> Publication:
    """Replace ``folder/marrow.duckdb`` and ``folder/parquet/<view>.parquet`` by the warehouse's present state.

    Both are checked before they are swapped in, the Parquet files together and just before the DuckDB file.
    When anything fails the earlier DuckDB file stays, whole. Readers that have it open keep what they see.
    CannotWrite when there is no room, and when another writer has taken over meanwhile.
    """
    try:
        return _publish(warehouse, folder)
    except (OSError, duckdb.IOException, duckdb.FatalException, duckdb.TransactionException) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or "the disk is full or cannot be written"
        raise CannotWrite(
            f"the publication cannot be written ({cause}): the earlier one stays. Free space and publish again."
        ) from error


def _publish(warehouse: Warehouse, folder: Path) -> Publication:
    target = folder / "marrow.duckdb"
    with replacing(target) as staged:
        expected = _copy(warehouse, staged)
        with open_published(staged) as database:
            _check(database, expected)
            rows = {view: database.count(view) for view in PARQUET_VIEWS}
            parquet = publish_parquet(database, folder, may_appear=warehouse.fence.check)
        staged.chmod(0o444)
        warehouse.fence.check()
    remove(target.with_name(target.name + ".wal"))  # left by someone who opened the file for writing
    return Publication(target, parquet, rows)


def _copy(warehouse: Warehouse, staged: Path) -> dict[str, int]:
    """Write a new database with the public tables; the number of rows that the warehouse has in each."""
    with (
        duckdb.connect(str(staged), config=CLOSED_TO_THE_WORLD) as copy,
        warehouse.transaction(),
        warehouse.exclusive() as source,
    ):
        migrate(copy)
        for table in PUBLIC:
            _copy_table(source, copy, table)
        mark_published(copy)
        return {table: len(source.table(table)) for table in PUBLIC}


def _copy_table(source: DuckDBPyConnection, copy: DuckDBPyConnection, table: str) -> None:
    relation = source.sql(statement(REDACTED[table])) if table in REDACTED else source.table(table)
    copy.from_arrow(relation.to_arrow_reader(BATCH_ROWS)).insert_into(table)


def _check(database: Database, expected: dict[str, int]) -> None:
    short = [table for table, rows in expected.items() if database.count(table) != rows]
    if short:
        raise WarehouseError(
            f"the copy to publish lacks rows of {', '.join(short)}; the earlier publication stays. Publish again."
        )
