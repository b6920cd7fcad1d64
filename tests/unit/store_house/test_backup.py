"""A backup can be restored, or it is none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from marrow_models.errors import UserError, WarehouseError
from tests.unit.store_house.factories import ATTRIBUTES, START, everything, finish_slide
from warehouse.backup import backup, backups, restore, verify
from warehouse.connection import Warehouse, open_warehouse

if TYPE_CHECKING:
    from pathlib import Path

TABLES = ("dim_slide", "fact_analysis", "fact_cell", "fact_cell_attribute", "ledger_event", "dim_run")


def test_a_backup_brings_back_every_row(warehouse: Warehouse, tmp_path: Path) -> None:
    finish_slide(warehouse, attributes=ATTRIBUTES)
    kept = everything(warehouse, *TABLES)
    assert len(kept["fact_cell_attribute"]) == 24
    saved = backup(warehouse, tmp_path / "backups")
    finish_slide(warehouse, "s2")
    elsewhere = tmp_path / "other" / "marrow.duckdb"
    assert restore(saved, elsewhere).replaced is None
    with open_warehouse(elsewhere) as restored:
        assert everything(restored, *TABLES) == kept


def test_a_damaged_warehouse_is_replaced_and_kept_aside(warehouse: Warehouse, tmp_path: Path) -> None:
    saved = backup(warehouse, tmp_path / "backups")
    broken = tmp_path / "broken" / "marrow.duckdb"
    broken.parent.mkdir()
    broken.write_bytes(b"ruin")
    broken.with_name("marrow.duckdb.wal").write_bytes(b"changes of the ruin")
    aside = restore(saved, broken).replaced
    assert aside is not None
    assert aside.read_bytes() == b"ruin"
    assert aside.with_name(aside.name + ".wal").read_bytes() == b"changes of the ruin"
    with open_warehouse(broken) as restored:
        assert restored.count("dim_run") == 1


def test_a_warehouse_in_use_is_not_replaced(warehouse: Warehouse, tmp_path: Path) -> None:
    saved = backup(warehouse, tmp_path / "backups")
    with pytest.raises(WarehouseError, match="PID"):
        restore(saved, warehouse.path)


def test_only_the_last_backups_are_kept(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    made = [backup(warehouse, folder, keep=2, at=START + timedelta(days=day)) for day in range(3)]
    assert backups(folder) == made[1:]


def test_a_damaged_backup_is_refused_and_the_warehouse_stays(warehouse: Warehouse, tmp_path: Path) -> None:
    saved = backup(warehouse, tmp_path / "backups")
    saved.write_bytes(saved.read_bytes()[:100_000])
    target = tmp_path / "home2" / "marrow.duckdb"
    with pytest.raises(WarehouseError, match="take an older backup"):
        restore(saved, target)
    assert not target.exists()


def test_a_backup_that_lost_cells_is_found_out(warehouse: Warehouse, tmp_path: Path) -> None:
    finish_slide(warehouse)
    with warehouse.exclusive() as connection:
        connection.execute("DELETE FROM fact_cell WHERE cell_id = 3")
    with pytest.raises(WarehouseError, match="analyses whose cells are not all there: 1"):
        backup(warehouse, tmp_path / "backups")
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_backup_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no backup"):
        verify(tmp_path / "none.duckdb")
