"""A copy of the database file, and the proof that it can be used: it is restored, migrated, checked and counted."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from marrow_models.errors import WarehouseError
from warehouse.clock import utc_now
from warehouse.files import remove, replacing
from warehouse.migrate import migrate, pending
from warehouse.sql import CLOSED_TO_THE_WORLD, statement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from duckdb import DuckDBPyConnection

PREFIX = "marrow-"
BEFORE_MIGRATION = "-before-migration"


def snapshot(connection: DuckDBPyConnection, path: Path, target: Path) -> dict[str, int]:
    """Copy the open database at ``path`` to ``target``, and rehearse the copy; table to number of rows.

    WarehouseError, and no file left behind, when the copy does not hold what the database holds.
    """
    with replacing(target) as staged:
        connection.execute(statement("checkpoint"))
        shutil.copyfile(path, staged)
        expected = row_counts(connection)
        found = rehearse(staged)
        short = [table for table, rows in expected.items() if found.get(table) != rows]
        if short:
            raise WarehouseError(f"the copy {target.name} has other rows of {', '.join(short)}: check the disk.")
    return expected


def snapshot_before_migration(connection: DuckDBPyConnection, path: Path, folder: Path) -> Path | None:
    """Keep a copy of a database whose schema will change; None where there is nothing to migrate or nothing in it."""
    if not pending(connection):
        return None
    target = folder / f"{name_at(utc_now())}{BEFORE_MIGRATION}{path.suffix}"
    snapshot(connection, path, target)
    return target


def name_at(time: datetime) -> str:
    """What a backup of this time is called, without its ending."""
    return f"{PREFIX}{time:%Y%m%dT%H%M%SZ}"


def rehearse(path: Path) -> dict[str, int]:
    """Restore a backup to a scratch folder, open it for writing and check it; table to number of rows before.

    An older schema is migrated there, so that a backup is never good for an older Marrow only. WarehouseError says
    what is wrong with it. The backup itself is only read.
    """
    with _scratch(path) as copy:
        try:
            with duckdb.connect(str(copy), config=CLOSED_TO_THE_WORLD) as connection:
                rows = row_counts(connection)
                migrate(connection)
                wrong = [f"{fault}: {count}" for fault, count in _faults(connection) if count]
        except duckdb.Error as error:
            raise WarehouseError(f"{path.name} is damaged: take an older backup.") from error
    if not rows:
        raise WarehouseError(f"{path.name} is empty: take another backup.")
    if wrong:
        raise WarehouseError(f"{path.name} is not whole ({'; '.join(wrong)}): take an older backup.")
    return rows


def row_counts(connection: DuckDBPyConnection) -> dict[str, int]:
    """Every table with its number of rows."""
    tables = [name for name, kind, _ in connection.execute(statement("relations")).fetchall() if kind == "table"]
    return {name: len(connection.table(name)) for name in tables}


def _faults(connection: DuckDBPyConnection) -> list[tuple[str, int]]:
    return connection.execute(statement("integrity")).fetchall()


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A copy of ``path`` beside it that is removed again, with whatever an earlier, killed rehearsal left."""
    folder = path.parent / f".rehearsal-{os.getpid()}"
    for leftover in path.parent.glob(".rehearsal-*"):
        remove(leftover)
    folder.mkdir()
    try:
        shutil.copyfile(path, folder / "marrow.duckdb")
        yield folder / "marrow.duckdb"
    finally:
        remove(folder)
