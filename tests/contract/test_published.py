"""What analysts may rely on: the published files open at any hour, add up, and name nobody."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pyarrow.parquet as pq
import pytest

from marrow_models.errors import CannotWrite, Reason, UserError, WarehouseError
from tests.unit.store_house.factories import (
    ATTRIBUTES,
    begin_night,
    diagnosis_record,
    finish_slide,
    patient_record,
    run_record,
    slide_record,
)
from warehouse.connection import Warehouse, open_warehouse
from warehouse.dictionary import comments
from warehouse.dimensions import remember_file, store_patient
from warehouse.integrity import faults
from warehouse.ledger import State, record, release
from warehouse.load import load_diagnosis
from warehouse.parquet import PARQUET_VIEWS
from warehouse.publish import PRIVATE, PUBLIC, publish
from warehouse.published import open_published
from warehouse.read import latest_run, night_table, patient_table, pooled_counts, slide_states
from warehouse.runs import RunState, finish_run, start_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path / "home" / "marrow.duckdb") as opened:
        begin_night(opened)
        finish_slide(opened, attributes=ATTRIBUTES)
        load_diagnosis(opened, diagnosis_record())
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "published"


def analyst(path: Path, sql: str) -> subprocess.Popen[str]:
    """Another program that opens the published file, asks on every line it is sent, and answers on a line."""
    code = (
        "import duckdb, sys\n"
        "held = duckdb.connect(sys.argv[1], read_only=True)\n"
        "print('open', flush=True)\n"
        "for line in sys.stdin:\n"
        "    print(held.execute(sys.argv[2]).fetchone()[0], flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path), sql], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def ask(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("?\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def files_of(path: Path) -> list[Path]:
    """The files of a published view: one, or a folder of them."""
    return sorted(path.iterdir()) if path.is_dir() else [path]


def test_every_view_answers_the_same_as_in_the_warehouse(warehouse: Warehouse, folder: Path) -> None:
    published = publish(warehouse, folder)
    with open_published(published.path) as database:
        for view in PARQUET_VIEWS:
            assert database.count(view) == warehouse.count(view) == published.rows[view]
        for read in (latest_run, slide_states, patient_table):
            assert read(database) == read(warehouse)
        assert night_table(database, "night-1") == night_table(warehouse, "night-1")
        assert pooled_counts(database, "p1", "m1") == pooled_counts(warehouse, "p1", "m1")
        assert faults(database) == faults(warehouse) == ()
    assert published.rows["cells"] == 12
    assert published.rows["cell_attributes"] == 24


def test_every_public_table_is_copied_whole(warehouse: Warehouse, folder: Path) -> None:
    path = publish(warehouse, folder).path
    with open_published(path) as database:
        assert {t: database.count(t) for t in PUBLIC} == {t: warehouse.count(t) for t in PUBLIC}


def test_every_table_is_either_public_or_private(warehouse: Warehouse) -> None:
    tables = {name for name, relation in comments(warehouse).items() if relation.kind == "table"}
    assert set(PUBLIC) | set(PRIVATE) | {"schema_migrations"} == tables


def test_comments_travel_along(warehouse: Warehouse, folder: Path) -> None:
    path = publish(warehouse, folder).path
    ours = comments(warehouse)
    with open_published(path) as database:
        theirs = comments(database)
    for name in ours.keys() - set(PRIVATE):
        assert theirs[name].comment == ours[name].comment
        # A cell of the published file says besides whose it is and what its class means.
        assert theirs[name].columns.items() >= ours[name].columns.items()
        if theirs[name].kind == "view":
            assert theirs[name].columns == ours[name].columns
            assert theirs[name].types == ours[name].types
    assert all(r.comment and all(r.columns.values()) for r in theirs.values() if r.name != "schema_migrations")


def test_nothing_private_is_published(warehouse: Warehouse, folder: Path) -> None:
    canaries = ("CANARYNAME", "CANARYDETAIL", "CANARYPATH", "CANARYPRINT")
    finish_run(warehouse, "night-1", RunState.DONE)
    start_run(warehouse, run_record("night-2", settings={"inbox": canaries[2]}))
    remember_file(warehouse, canaries[3], "s1")
    record(warehouse, "night-2", "e1", State.DISCOVERED)
    record(warehouse, "night-2", "e1", State.QUARANTINED, reason=Reason.INTERNAL, detail=canaries[1])
    release(warehouse, "e1")
    publish(warehouse, folder)
    published = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in published} >= {"marrow.duckdb", "validations.parquet"}
    assert "cells.parquet" in {path.parent.name for path in published}
    for path in published:
        content = path.read_bytes()
        assert [canary for canary in canaries if canary.encode() in content] == []
    with open_published(folder / "marrow.duckdb") as database:
        assert not set(PRIVATE) & set(comments(database))


def test_the_notice_is_in_every_file(warehouse: Warehouse, folder: Path) -> None:
    published = publish(warehouse, folder)
    notice = "For Research Use Only. Not for use in diagnostic procedures."
    with open_published(published.path) as database:
        assert database.rows("notice") == [{"notice": notice}]
    for path in published.parquet.values():
        for file in files_of(path):
            assert pq.read_schema(file).metadata[b"notice"].decode() == notice


def test_parquet_files_hold_the_views(warehouse: Warehouse, folder: Path) -> None:
    published = publish(warehouse, folder)
    assert set(published.parquet) == set(PARQUET_VIEWS)
    for view, path in published.parquet.items():
        assert path == folder / "parquet" / f"{view}.parquet"
        assert sum(pq.read_metadata(file).num_rows for file in files_of(path)) == published.rows[view]
    cells = pq.read_table(published.parquet["cells"])
    assert cells.schema.field("x_um").metadata[b"comment"] == b"Centre in micrometres from the slide's left edge."
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT count(*) FROM read_parquet(?)", [str(folder / "parquet" / "cells.parquet" / "*.parquet")]
        ).fetchone()
    assert rows == (12,)


def test_publishing_again_replaces_what_was_there(warehouse: Warehouse, folder: Path) -> None:
    first = publish(warehouse, folder)
    finish_slide(warehouse, "s2")
    second = publish(warehouse, folder)
    third = publish(warehouse, folder)
    assert (first.path, first.parquet) == (second.path, second.parquet) == (third.path, third.parquet)
    assert (first.rows["slides"], second.rows["slides"]) == (1, 2)
    assert second.rows == third.rows
    assert len([p for p in folder.iterdir() if p.name.startswith(".parquet-")]) == 2


def test_an_analyst_keeps_the_old_night_open_while_a_new_one_is_published(warehouse: Warehouse, folder: Path) -> None:
    path = publish(warehouse, folder).path
    with analyst(path, "SELECT count(*) FROM cells") as early:
        assert ask(early) == "12"
        finish_slide(warehouse, "s2", count=20)
        publish(warehouse, folder)
        assert ask(early) == "12"
        with analyst(path, "SELECT count(*) FROM cells") as late:
            assert ask(late) == "32"
            late.kill()
        assert ask(early) == "12"
        early.kill()


def test_an_analyst_opens_the_file_while_the_warehouse_is_being_written(warehouse: Warehouse, folder: Path) -> None:
    path = publish(warehouse, folder).path
    with warehouse.transaction():
        store_patient(warehouse, patient_record("p2"))
        with analyst(path, "SELECT count(*) FROM patient_diagnoses") as process:
            assert ask(process) == "1"
            process.kill()
    assert warehouse.count("dim_patient") == 2


def test_a_publication_that_fails_leaves_the_earlier_one(
    warehouse: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(warehouse, folder)
    before = published.path.read_bytes()
    finish_slide(warehouse, "s2")
    monkeypatch.setattr("warehouse.publish.publish_parquet", fail)
    with pytest.raises(CannotWrite, match="the earlier one stays"):
        publish(warehouse, folder)
    assert published.path.read_bytes() == before
    assert pq.read_metadata(published.parquet["slides"]).num_rows == 1
    assert [p.name for p in folder.iterdir() if p.name.endswith(".tmp")] == []


def fail(*_: object, **__: object) -> None:
    raise OSError("disk")


def test_a_copy_that_lost_rows_is_not_published(
    warehouse: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*arguments: object) -> None:
        if arguments[2] != "fact_field":
            copy_table(*arguments)

    from warehouse.published_rows import _copy_table as copy_table

    monkeypatch.setattr("warehouse.published_rows._copy_table", lose)
    with pytest.raises(WarehouseError, match="lacks rows of fact_field"):
        publish(warehouse, folder)
    assert not (folder / "marrow.duckdb").exists()


def test_what_another_writer_left_beside_the_file_is_not_played_onto_it(warehouse: Warehouse, folder: Path) -> None:
    path = publish(warehouse, folder).path
    path.with_name("marrow.duckdb.wal").write_bytes(b"changes of someone who opened it for writing")
    publish(warehouse, folder)
    with open_published(path) as database:
        assert database.count("cells") == 12


def test_a_folder_that_is_not_ours_is_not_replaced(warehouse: Warehouse, folder: Path) -> None:
    (folder / "parquet").mkdir(parents=True)
    (folder / "parquet" / "thesis.parquet").touch()
    with pytest.raises(WarehouseError, match="move it away"):
        publish(warehouse, folder)
    assert (folder / "parquet" / "thesis.parquet").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "COPY cells TO 'stolen.csv'",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "DELETE FROM fact_cell",
        "CREATE TABLE mine AS SELECT 1",
        "EXPORT DATABASE 'stolen'",
        "SELECT * FROM warehouse",
    ],
)
def test_an_analysts_statement_reaches_nothing_else(warehouse: Warehouse, folder: Path, statement: str) -> None:
    path = publish(warehouse, folder).path
    with open_published(path) as database, pytest.raises(duckdb.Error):
        database._connection.execute(statement)


def test_before_the_first_night_there_is_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is published yet"), open_published(tmp_path / "marrow.duckdb"):
        pass


def test_a_damaged_publication_says_how_to_get_it_back(warehouse: Warehouse, folder: Path) -> None:
    path = publish(warehouse, folder).path
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(WarehouseError, match="marrow publish"), open_published(path):
        pass


def test_the_warehouse_itself_is_not_served_to_analysts(warehouse: Warehouse, tmp_path: Path) -> None:
    copy = tmp_path / "copy.duckdb"
    with warehouse.exclusive() as connection:
        connection.execute("CHECKPOINT")
        copy.write_bytes(warehouse.path.read_bytes())
    with pytest.raises(WarehouseError), open_published(copy):
        pass


def test_slides_of_two_patients_stay_apart(warehouse: Warehouse, folder: Path) -> None:
    finish_slide(warehouse, "s2")
    from warehouse.dimensions import store_slide

    store_slide(warehouse, slide_record("s2", patient_key="p2"))
    path = publish(warehouse, folder).path
    with open_published(path) as database:
        owners = {row.slide_id: row.patient_id for row in slide_states(database)}
    assert owners == {"s1": "p1", "s2": "p2"}
