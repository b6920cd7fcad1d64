"""Backup and restore of the warehouse. A backup that was not opened and counted is none."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import duckdb

from marrow_models.errors import UserError, WarehouseError
from warehouse.clock import utc_now
from warehouse.connection import CLOSED_TO_THE_WORLD, Database
from warehouse.files import remove, replacing
from warehouse.integrity import faults
from warehouse.migrate import check_current
from warehouse.sql import statement
from warehouse.writer_lock import writer_lock

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from warehouse.connection import Warehouse

KEPT = 7


def backup(warehouse: Warehouse, folder: Path, *, keep: int = KEPT, at: datetime | None = None) -> Path:
    """Copy the warehouse to ``folder`` under the present time, read the copy back, and keep the last ``keep``.

    WarehouseError, and no file left behind, when the copy does not hold what the warehouse holds.
    """
    target = folder / f"marrow-{(at or utc_now()):%Y%m%dT%H%M%SZ}.duckdb"
    with replacing(target) as staged:
        with warehouse.exclusive() as connection:
            connection.execute(statement("checkpoint"))
            shutil.copyfile(warehouse.path, staged)
        verify(staged)
    for old in backups(folder)[:-keep]:
        remove(old)
    return target


def backups(folder: Path) -> list[Path]:
    """The backups in a folder, oldest first."""
    return sorted(folder.glob("marrow-*.duckdb"))


def verify(path: Path) -> None:
    """Open a backup and check that it is whole. WarehouseError says what is wrong with it."""
    if not path.is_file():
        raise UserError(f"there is no backup {path.name}: see the folder of backups.")
    try:
        with duckdb.connect(str(path), read_only=True, config=CLOSED_TO_THE_WORLD) as connection:
            check_current(connection)
            wrong = faults(Database(connection))
    except duckdb.Error as error:
        raise WarehouseError(f"{path.name} is damaged: take an older backup.") from error
    if wrong:
        raise WarehouseError(f"{path.name} is not whole ({'; '.join(wrong)}): take an older backup.")


def restore(source: Path, path: Path) -> Path | None:
    """Put a backup in the place of the warehouse at ``path``; where the replaced file went, None if there was none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writer_lock(path.with_name(path.name + ".lock")):
        verify(source)
        aside = None
        with replacing(path) as staged:
            shutil.copyfile(source, staged)
            if path.exists():
                aside = path.with_name(f"{path.name}.before-restore")
                shutil.copyfile(path, aside)
            # Changes that the replaced file had not taken in yet must not be played onto the backup.
            remove(path.with_name(path.name + ".wal"))
    return aside
