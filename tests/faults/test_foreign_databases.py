"""F60: what is no warehouse, or one of another time, is refused or migrated; nothing is overwritten, and the way back
is printed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import duckdb
import pytest

from flows.command_backup import list_backups, restore_backup
from marrow_models.errors import WarehouseError
from tests.unit.store_house.factories import begin_night, finish_slide
from warehouse import migrate as migrations
from warehouse import snapshot
from warehouse.backup import backup, backup_if_changed, backups, restore, verify
from warehouse.connection import open_warehouse, read_warehouse
from warehouse.integrity import faults
from warehouse.migrate import Migration, known_migrations, migrate

KNOWN = known_migrations()
PREVIOUS = KNOWN[:-1]
ROWS = """
INSERT INTO dim_patient BY NAME SELECT 'p1' AS patient_key, 61.0 AS age_years;
INSERT INTO dim_slide BY NAME SELECT 's1' AS slide_id, 'p1' AS patient_key, 0.25 AS um_per_px,
    TIMESTAMP '2026-11-01' AS first_seen_at;
INSERT INTO dim_run BY NAME SELECT 'n1' AS run_id, TIMESTAMP '2026-11-01' AS started_at, 'done' AS state,
    'manual' AS "trigger", '0.0.9' AS code_version;
INSERT INTO ledger_event BY NAME SELECT 'n1' AS run_id, 's1' AS slide_id, 1 AS attempt, 'done' AS state,
    TIMESTAMP '2026-11-01' AS entered_at;
INSERT INTO dim_model BY NAME SELECT 'm1' AS digest, 'toy' AS name, '1' AS version, 'd' AS detector_digest,
    'c' AS classifier_digest, ['blast'] AS labels, 't' AS taxonomy_name, '1' AS taxonomy_version,
    't1' AS taxonomy_digest;
INSERT INTO fact_analysis BY NAME SELECT 'k1' AS result_key, 's1' AS slide_id, 'm1' AS model_digest,
    'g' AS config_digest, 'n1' AS run_id, 1 AS fields, 1 AS cells, 1 AS counted_cells, 1.0 AS analysed_um2,
    1.0 AS seconds, true AS is_current;
INSERT INTO fact_field BY NAME SELECT 'k1' AS result_key, 0 AS field_id, 0 AS x_px, 0 AS y_px, 9 AS width_px,
    9 AS height_px, 0.0 AS x_um, 0.0 AS y_um, 2.0 AS width_um, 2.0 AS height_um, 1.0 AS expected_cells,
    1 AS found_cells, 1.0 AS readability;
INSERT INTO fact_cell BY NAME SELECT 'k1' AS result_key, 0 AS cell_id, 0 AS field_id, 1.0 AS x_um, 1.0 AS y_um,
    1.0 AS width_um, 1.0 AS height_um, 'blast' AS cell_class, 0.9 AS confidence, 0.9 AS detection_score,
    [0.9] AS probabilities, false AS near_missing;
"""
TABLES = (
    "dim_patient",
    "dim_slide",
    "dim_run",
    "ledger_event",
    "dim_model",
    "fact_analysis",
    "fact_field",
    "fact_cell",
)


def of_previous_schema(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        migrate(connection, PREVIOUS)
        connection.execute(ROWS)
    return path


def of_newer_schema(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        migrate(connection, (*KNOWN, Migration(len(KNOWN) + 1, "later", "CREATE TABLE later (x INTEGER)")))


def of_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE ledger_event (x)")
    connection.close()


def of_other_software(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE fact_cell AS SELECT 1 AS cell_id")


FOREIGN = {
    "random bytes": lambda path: path.write_bytes(os.urandom(20_000)),
    "text": lambda path: path.write_text("not a database\n" * 1000),
    "no bytes": lambda path: path.write_bytes(b""),
    "SQLite": of_sqlite,
    "DuckDB of other software": of_other_software,
    "a newer schema": of_newer_schema,
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_f60_what_is_no_warehouse_is_refused_unchanged_with_the_way_back(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "warehouse" / "marrow.duckdb"
    path.parent.mkdir()
    FOREIGN[kind](path)
    before = path.read_bytes()
    for opened in (open_warehouse, read_warehouse):
        with pytest.raises(WarehouseError) as refused, opened(path):
            pass
        assert refused.value.exit_code == 1
    with (
        pytest.raises(WarehouseError, match=r"Nothing was changed.*marrow restore.*marrow backup --list"),
        open_warehouse(path),
    ):
        pass
    assert path.read_bytes() == before
    assert not path.with_name("backups").exists()


@pytest.mark.parametrize("kind", FOREIGN)
def test_f60_the_way_back_is_one_command_and_what_was_replaced_is_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "warehouse" / "marrow.duckdb"
    with open_warehouse(path) as warehouse:
        begin_night(warehouse)
        finish_slide(warehouse)
        backup(warehouse, path.with_name("backups"))
    path.unlink()
    FOREIGN[kind](path)
    ruin = path.read_bytes()
    report = restore_backup(tmp_path, None)
    assert report["rows"]["fact_cell"] == 12
    assert Path(report["replaced"]).read_bytes() == ruin
    with open_warehouse(path) as warehouse:
        assert faults(warehouse) == ()
        assert warehouse.count("fact_cell") == 12


@pytest.mark.parametrize("kind", FOREIGN)
def test_f60_what_is_no_warehouse_is_no_backup_either(tmp_path: Path, kind: str) -> None:
    foreign = tmp_path / "marrow-1.duckdb"
    FOREIGN[kind](foreign)
    target = tmp_path / "warehouse" / "marrow.duckdb"
    with pytest.raises(WarehouseError):
        restore(foreign, target)
    assert not target.exists()
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["marrow-1.duckdb"]


def test_f60_a_warehouse_of_the_previous_schema_migrates_with_its_rows_after_a_backup(tmp_path: Path) -> None:
    path = of_previous_schema(tmp_path / "warehouse" / "marrow.duckdb")
    with open_warehouse(path) as warehouse:
        assert {table: warehouse.count(table) for table in TABLES} == dict.fromkeys(TABLES, 1)
        assert warehouse.count("schema_migrations") == len(KNOWN)
        assert warehouse.count("cells") == 0  # the taxonomy of the toy model was never stored
        assert faults(warehouse) == ()
    (kept,) = list_backups(tmp_path)
    saved = path.with_name("backups") / kept["backup"]
    with duckdb.connect(str(saved), read_only=True) as old:
        assert old.execute("SELECT count(*) FROM schema_migrations").fetchone() == (len(PREVIOUS),)
        assert old.execute("SELECT count(*) FROM fact_cell").fetchone() == (1,)
    assert verify(saved)["fact_cell"] == 1
    with open_warehouse(path):
        pass
    assert len(list_backups(tmp_path)) == 1  # nothing was left to migrate


@pytest.mark.parametrize("storage", ["v1.0.0", "v1.4.0"])
def test_f60_a_warehouse_in_the_storage_of_duckdb_1_migrates_with_its_rows(tmp_path: Path, storage: str) -> None:
    """The format on disk of that version, as today's DuckDB still writes it when asked."""
    path = tmp_path / "warehouse" / "marrow.duckdb"
    path.parent.mkdir()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS old (STORAGE_VERSION '{storage}')")
        connection.execute("USE old")
        migrate(connection, PREVIOUS)
        connection.execute(ROWS)
    with open_warehouse(path) as warehouse:
        assert {table: warehouse.count(table) for table in TABLES} == dict.fromkeys(TABLES, 1)
        assert warehouse.count("schema_migrations") == len(KNOWN)
        assert faults(warehouse) == ()
    (kept,) = list_backups(tmp_path)
    assert verify(path.with_name("backups") / kept["backup"])["fact_cell"] == 1


def test_f60_a_backup_of_the_previous_schema_is_restored_and_migrates(tmp_path: Path) -> None:
    saved = of_previous_schema(tmp_path / "backups" / "marrow-1.duckdb")
    target = tmp_path / "warehouse" / "marrow.duckdb"
    assert restore(saved, target).rows["fact_cell"] == 1
    with open_warehouse(target) as warehouse:
        assert warehouse.count("fact_cell") == 1


def test_f60_a_migration_that_fails_on_the_copy_never_touches_the_warehouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "warehouse" / "marrow.duckdb"
    with open_warehouse(path) as warehouse:
        begin_night(warehouse)
    before = path.read_bytes()
    bad = (
        *KNOWN,
        Migration(len(KNOWN) + 1, "bad", "ALTER TABLE dim_run ADD COLUMN x INTEGER; SELECT 1/0 FROM nowhere"),
    )
    monkeypatch.setattr(migrations, "known_migrations", lambda: bad)
    with pytest.raises((WarehouseError, duckdb.Error)), open_warehouse(path):
        pass
    assert path.read_bytes() == before
    assert backups(path.with_name("backups")) == []


def test_a_night_after_which_nothing_changed_makes_no_backup(tmp_path: Path) -> None:
    path, folder = tmp_path / "warehouse" / "marrow.duckdb", tmp_path / "elsewhere"
    with open_warehouse(path) as warehouse:
        assert backup_if_changed(warehouse, folder) is None  # no run yet: there is nothing to lose
        begin_night(warehouse)
        assert backup_if_changed(warehouse, folder, keep=0) is None
        made = backup_if_changed(warehouse, folder)
        assert made in backups(folder)
        assert backup_if_changed(warehouse, folder) is None
    with open_warehouse(path) as warehouse:
        assert backup_if_changed(warehouse, folder) is None
        finish_slide(warehouse)
        assert backup_if_changed(warehouse, folder) is not None


def test_a_copy_that_lost_rows_on_its_way_is_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "warehouse" / "marrow.duckdb"
    with open_warehouse(path) as warehouse:
        begin_night(warehouse)
        first = backup(warehouse, tmp_path / "backups")
        finish_slide(warehouse)
        stale = first.read_bytes()
        monkeypatch.setattr(snapshot.shutil, "copyfile", lambda _, to: Path(to).write_bytes(stale))
        with pytest.raises(WarehouseError, match=r"has other rows of .*fact_cell"):
            backup(warehouse, tmp_path / "other")
    assert backups(tmp_path / "other") == []
