"""Backup and restore of the warehouse. A backup that was not restored and counted is none."""

from __future__ import annotations

import filecmp
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from marrow_models.errors import UserError, WarehouseError
from warehouse.clock import utc_now
from warehouse.files import remove, replacing
from warehouse.snapshot import PREFIX, name_at, rehearse, snapshot
from warehouse.sql import statement
from warehouse.writer_lock import writer_lock

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from warehouse.connection import Warehouse

KEPT = 14


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    replaced: Path | None
    """Where the file went that was in the place, None if there was none."""
    rows: dict[str, int]
    """Table to number of rows of the backup."""


def backup(warehouse: Warehouse, folder: Path, *, keep: int = KEPT, at: datetime | None = None) -> Path:
    """Copy the warehouse to ``folder`` under the present time, rehearse the copy, and keep the last ``keep``.

    WarehouseError, and no file left behind, when the copy does not hold what the warehouse holds.
    """
    target = folder / f"{name_at(at or utc_now())}.duckdb"
    with warehouse.exclusive() as connection:
        snapshot(connection, warehouse.path, target)
    for old in backups(folder)[:-keep]:
        remove(old)
    return target


def backup_if_changed(warehouse: Warehouse, folder: Path, *, keep: int = KEPT) -> Path | None:
    """Back up a warehouse that has runs, unless the last backup holds the very same; None where there is no need.

    ``keep`` 0 makes none.
    """
    if not keep or not warehouse.count("dim_run"):
        return None
    with warehouse.exclusive() as connection:
        connection.execute(statement("checkpoint"))
    last = backups(folder)[-1:]
    if last and filecmp.cmp(last[0], warehouse.path, shallow=False):
        return None
    return backup(warehouse, folder, keep=keep)


def backups(folder: Path) -> list[Path]:
    """The backups in a folder, oldest first."""
    return sorted(folder.glob(f"{PREFIX}*.duckdb"))


def named(folder: Path, name: str | None) -> Path:
    """The backup called ``name``, or the last one. UserError, naming those there are, when it is not there."""
    there = backups(folder)
    if name is None and there:
        return there[-1]
    found = [path for path in there if name in (path.name, path.stem)]
    if found:
        return found[0]
    shown = ", ".join(path.name for path in there) or "none"
    raise UserError(f"there is no backup {name or ''} in {folder}. There are: {shown}.")


def verify(path: Path) -> dict[str, int]:
    """Restore a backup to a scratch folder and count it there: table to rows. WarehouseError says what is wrong."""
    if not path.is_file():
        raise UserError(f"there is no backup {path.name}: see `marrow backup --list`.")
    return rehearse(path)


def restore(source: Path, path: Path, *, at: datetime | None = None) -> Restored:
    """Put a backup in the place of the warehouse at ``path``; the file that was there is kept beside it.

    WarehouseError, and nothing replaced, when the backup is not whole or a run holds the warehouse.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with writer_lock(path.with_name(path.name + ".lock")):
        rows = verify(source)
        aside = None
        with replacing(path) as staged:
            shutil.copyfile(source, staged)
            if path.exists():
                aside = _kept_aside(path, at or utc_now())
            # Changes that the replaced file had not taken in yet must not be played onto the backup.
            remove(_log_of(path))
    return Restored(aside, rows)


def _kept_aside(path: Path, time: datetime) -> Path:
    """Give the file, and the changes it had not taken in yet, a second name."""
    aside = path.with_name(f"{path.name}.replaced-{time:%Y%m%dT%H%M%SZ}")
    if aside.exists():
        raise WarehouseError(f"{aside.name} is there already: wait a second and restore again.")
    if _log_of(path).exists():
        os.link(_log_of(path), _log_of(aside))
    os.link(path, aside)
    return aside


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + ".wal")
