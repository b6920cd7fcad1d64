"""A publication that adds what is new is, row for row, the one made anew; and it is made anew where it must be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marrow_models.errors import Reason
from tests.unit.store_house.factories import (
    ATTRIBUTES,
    analysis_record,
    begin_night,
    cell_table,
    diagnosis_record,
    finish_slide,
    model_record,
    patient_record,
    run_record,
    slide_record,
)
from warehouse.connection import Warehouse, open_warehouse
from warehouse.dictionary import comments
from warehouse.dimensions import store_model, store_patient, store_slide
from warehouse.integrity import faults
from warehouse.ledger import State, record
from warehouse.load import load_diagnosis, load_slide, make_current
from warehouse.parquet import PARQUET_VIEWS
from warehouse.publish import PUBLIC, publish
from warehouse.published import open_published
from warehouse.rekey import replace_pseudonyms
from warehouse.runs import RunState, finish_run, start_run

SLIDES = 12


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path / "home" / "marrow.duckdb") as opened:
        begin_night(opened)
        for number in range(SLIDES):
            finish_slide(opened, f"s{number}", attributes=ATTRIBUTES)
        load_diagnosis(opened, diagnosis_record())
        finish_run(opened, "night-1", RunState.DONE)
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "published"


def standby(folder: Path) -> Path:
    return folder / ".standby.duckdb"


def published_rows(folder: Path) -> dict[str, object]:
    """All rows of all tables and views, of the database and of the Parquet files, in an order of their own."""
    found: dict[str, object] = {}
    with open_published(folder / "marrow.duckdb") as database:
        assert faults(database) == ()
        for relation in comments(database):
            with database.batches(relation, 10_000) as reader:
                found[relation] = ordered(reader.read_all())
    for view in PARQUET_VIEWS:
        found[f"{view}.parquet"] = ordered(pq.read_table(folder / "parquet" / f"{view}.parquet"))
        assert found[f"{view}.parquet"] == found[view]
    found.pop("schema_migrations")  # says when it was made
    return found


def ordered(table: pa.Table) -> list[str]:
    return sorted(map(repr, table.to_pylist()))


def new_night(warehouse: Warehouse, run_id: str, *slides: str) -> None:
    start_run(warehouse, run_record(run_id))
    for slide in slides:
        finish_slide(warehouse, slide, run_id=run_id, attributes=ATTRIBUTES)
    finish_run(warehouse, run_id, RunState.DONE)


def counted_again(warehouse: Warehouse) -> None:
    """A back-fill of one slide: its earlier analysis is no longer current."""
    start_run(warehouse, run_record("back-fill", trigger="backfill"))
    cells = cell_table(20, seed=7, attributes=ATTRIBUTES)
    for state in (State.DISCOVERED, State.INGESTED, State.SURVEYED, State.ANALYSED, State.VALIDATED):
        record(warehouse, "back-fill", "s3", state)
    load_slide(
        warehouse, slide_record("s3"), analysis_record(cells, "k-s3-again", slide_id="s3", run_id="back-fill"), cells
    )
    record(warehouse, "back-fill", "s3", State.LOADED)
    record(warehouse, "back-fill", "s3", State.DONE)
    finish_run(warehouse, "back-fill", RunState.DONE)


def back_to_the_first(warehouse: Warehouse) -> None:
    counted_again(warehouse)
    make_current(warehouse, "k-s3")


def into_quarantine(warehouse: Warehouse) -> None:
    start_run(warehouse, run_record("night-2"))
    record(warehouse, "night-2", "s4", State.DISCOVERED)
    record(warehouse, "night-2", "s4", State.QUARANTINED, reason=Reason.INTERNAL, detail="place")
    finish_run(warehouse, "night-2", RunState.DONE_WITH_QUARANTINE)


def other_patient(warehouse: Warehouse) -> None:
    store_patient(warehouse, patient_record("p2"))
    store_slide(warehouse, slide_record("s5", patient_key="p2", specimen="blood"))


def other_suggestion(warehouse: Warehouse) -> None:
    load_diagnosis(warehouse, diagnosis_record("x2", diagnosis="ALL"))


def other_values(warehouse: Warehouse) -> None:
    store_patient(warehouse, patient_record(age_years=62.0, laboratory=(("haemoglobin", 9.2),)))


CHANGES: dict[str, Callable[[Warehouse], None]] = {
    "nothing": lambda warehouse: None,
    "a night": lambda warehouse: new_night(warehouse, "night-2", "s20", "s21"),
    "a night without cells": lambda warehouse: new_night(warehouse, "night-2"),
    "a slide is counted again": counted_again,
    "and the first count is current again": back_to_the_first,
    "a slide goes into quarantine": into_quarantine,
    "a slide is of another patient": other_patient,
    "another suggestion": other_suggestion,
    "other values of a patient": other_values,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_was_brought_forward_is_what_is_made_anew(
    change: Callable[[Warehouse], None], warehouse: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(warehouse, folder)
    new_night(warehouse, "night-1b", "s19")
    publish(warehouse, folder)  # from here on there is a file to bring forward without a copy
    change(warehouse)
    anew = folder.with_name("anew")
    publish(warehouse, anew)
    with monkeypatch.context() as patch:
        patch.setattr("warehouse.publish._anew", None)
        patch.setattr("warehouse.publish.copy_file", None)
        publish(warehouse, folder)
    assert published_rows(folder) == published_rows(anew)


def test_many_nights_one_after_the_other(warehouse: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(warehouse, folder)
    publish(warehouse, folder)
    monkeypatch.setattr("warehouse.publish._anew", None)
    written = {}
    for number, name in enumerate(("a night", "a slide is counted again", "a slide is of another patient", "nothing")):
        CHANGES[name](warehouse)
        new_night(warehouse, f"after-{number}", f"s3{number}")
        publish(warehouse, folder)
        parts = {path.name: path.stat().st_ino for path in (folder / "parquet" / "cells.parquet").iterdir()}
        kept = {name: inode for name, inode in parts.items() if written.get(name) == inode}
        assert len(kept) >= len(parts) - 3 or not written
        written = parts
    monkeypatch.undo()
    publish(warehouse, folder.with_name("anew"))
    assert published_rows(folder) == published_rows(folder.with_name("anew"))


def test_a_file_that_somebody_still_reads_is_never_written_to(warehouse: Warehouse, folder: Path) -> None:
    publish(warehouse, folder)
    publish(warehouse, folder)
    with standby(folder).open("rb") as reader:  # a slow copy of the publication before
        before = os.fstat(reader.fileno())
        content = standby(folder).read_bytes()
        new_night(warehouse, "night-2", "s20")
        publish(warehouse, folder)
        assert reader.read() == content
        assert os.fstat(reader.fileno()).st_ino == before.st_ino != (folder / "marrow.duckdb").stat().st_ino
    with open_published(folder / "marrow.duckdb") as database:
        assert database.count("slides") == SLIDES + 1


def test_a_standby_that_is_the_present_file_is_left_alone(warehouse: Warehouse, folder: Path) -> None:
    """A death after the link and before the swap."""
    publish(warehouse, folder)
    os.link(folder / "marrow.duckdb", standby(folder))
    content = standby(folder).read_bytes()
    with (folder / "marrow.duckdb").open("rb") as reader:
        new_night(warehouse, "night-2", "s20")
        publish(warehouse, folder)
        assert reader.read() == content


@pytest.mark.parametrize("spoil", ["truncated", "foreign", "older"])
def test_a_base_that_is_no_good_is_passed_over(spoil: str, warehouse: Warehouse, folder: Path) -> None:
    publish(warehouse, folder)
    publish(warehouse, folder)
    path = standby(folder)
    path.chmod(0o644)
    if spoil == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif spoil == "foreign":
        path.write_bytes(b"no database at all")
    else:
        with warehouse.exclusive() as connection:
            connection.execute("CHECKPOINT")
            shutil.copyfile(warehouse.path, path)  # a warehouse, not a publication
    new_night(warehouse, "night-2", "s20")
    publish(warehouse, folder)
    publish(warehouse, folder.with_name("anew"))
    assert published_rows(folder) == published_rows(folder.with_name("anew"))


def test_after_a_rotation_no_earlier_pseudonym_is_in_any_published_file(warehouse: Warehouse, folder: Path) -> None:
    old = "9f" * 32
    store_patient(warehouse, patient_record(old))
    store_slide(warehouse, slide_record("s1", patient_key=old))
    for number in range(3):
        new_night(warehouse, f"night-{number + 2}", f"s2{number}")
        publish(warehouse, folder)
    assert standby(folder).exists()
    start_run(warehouse, run_record("rotation", settings={"key_id": "abcdef"}))
    replace_pseudonyms(warehouse, lambda kind, value: "77" * 32 if value == old else value)
    finish_run(warehouse, "rotation", RunState.DONE)
    for _ in range(2):  # as `marrow init --rotate-key` does
        publish(warehouse, folder)
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path.name for path in files if old.encode() in path.read_bytes()] == []
    publish(warehouse, folder.with_name("anew"))
    assert published_rows(folder) == published_rows(folder.with_name("anew"))


def test_a_warehouse_that_was_restored_is_published_anew(warehouse: Warehouse, folder: Path, tmp_path: Path) -> None:
    publish(warehouse, folder)
    with warehouse.exclusive() as connection:
        connection.execute("CHECKPOINT")
        backup = shutil.copyfile(warehouse.path, tmp_path / "backup.duckdb")
    new_night(warehouse, "lost", "s20", "s21")
    publish(warehouse, folder)
    with open_warehouse(Path(backup)) as restored:
        new_night(restored, "other", "s30", "s31", "s32")
        publish(restored, folder)
        publish(restored, folder.with_name("anew"))
    assert published_rows(folder) == published_rows(folder.with_name("anew"))


def test_another_taxonomy_of_a_model_is_published(warehouse: Warehouse, folder: Path) -> None:
    """Every cell of the model means something else now."""
    publish(warehouse, folder)
    publish(warehouse, folder)
    store_model(warehouse, model_record(taxonomy_digest="t2", taxonomy_version="2"))
    publish(warehouse, folder)
    publish(warehouse, folder.with_name("anew"))
    assert published_rows(folder) == published_rows(folder.with_name("anew"))


def test_views_are_those_of_the_warehouse(warehouse: Warehouse, folder: Path) -> None:
    """What is published joins nothing; the warehouse's own views join all: the same rows."""
    counted_again(warehouse)
    into_quarantine(warehouse)
    other_patient(warehouse)
    publish(warehouse, folder)
    with open_published(folder / "marrow.duckdb") as database:
        for view in PARQUET_VIEWS:
            with database.batches(view, 10_000) as ours, warehouse.batches(view, 10_000) as theirs:
                assert ordered(ours.read_all()) == ordered(theirs.read_all()), view


def test_no_table_is_forgotten(warehouse: Warehouse, folder: Path) -> None:
    publish(warehouse, folder)
    with open_published(folder / "marrow.duckdb") as database:
        tables = {name for name, relation in comments(database).items() if relation.kind == "table"}
    assert tables == {*PUBLIC, "schema_migrations", "published_result", "publication"}
    assert np.unique(PUBLIC).size == len(PUBLIC)
