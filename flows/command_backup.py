"""`marrow backup` and `marrow restore`: copies of the warehouse that were restored and counted, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.settings import load_settings
from marrow_models.errors import UserError, WarehouseError
from tasks.home import Home
from tasks.plan import NightPlan
from warehouse import backup
from warehouse.connection import open_warehouse


def make_backup(home: Path) -> dict[str, Any]:
    """Back up the warehouse now, unless the last backup holds the very same. WarehouseHeld while a run has it."""
    plan, place, folder = _places(home)
    if not place.warehouse.is_file():
        raise UserError(f"There is no warehouse under {home}: nothing to back up.")
    with open_warehouse(place.warehouse, backups=folder) as warehouse:
        made = backup.backup_if_changed(warehouse, folder, keep=plan.backups_kept or backup.KEPT)
    there = backup.backups(folder)
    if made is None and not there:
        raise UserError(f"No run was ever made under {home}: nothing to back up.")
    return _told(made or there[-1]) | {"made": made is not None, "rows": backup.verify(made or there[-1])}


def verify_backup(home: Path, name: str | None) -> dict[str, Any]:
    """Restore a backup (the last one) to a scratch folder, open it there, check it and count its rows."""
    folder = _places(home)[2]
    path = backup.named(folder, name)
    return _told(path) | {"made": False, "rows": backup.verify(path)}


def list_backups(home: Path) -> list[dict[str, Any]]:
    """The backups there are, oldest first."""
    return [_told(path) for path in backup.backups(_places(home)[2])]


def restore_backup(home: Path, name: str | None) -> dict[str, Any]:
    """Put a backup (the last one that is whole) in the place of the warehouse; what was there is kept beside it."""
    _, place, folder = _places(home)
    path = backup.named(folder, name) if name else _last_whole(folder)
    restored = backup.restore(path, place.warehouse)
    return _told(path) | {"rows": restored.rows, "replaced": str(restored.replaced) if restored.replaced else None}


def _last_whole(folder: Path) -> Path:
    damaged = []
    for path in reversed(backup.backups(folder)):
        try:
            backup.verify(path)
        except WarehouseError:
            damaged.append(path.name)
            continue
        return path
    if damaged:
        raise WarehouseError(f"no backup in {folder} is whole: {', '.join(damaged)} are damaged.")
    return backup.named(folder, None)


def _places(home: Path) -> tuple[NightPlan, Home, Path]:
    plan = load_settings(home=home)
    place = Home(home)
    return plan, place, plan.backup_folder or place.backups


def _told(path: Path) -> dict[str, Any]:
    return {"backup": path.name, "size_bytes": path.stat().st_size}
