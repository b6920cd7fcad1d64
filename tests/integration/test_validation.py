"""The gates with the real engine: what they let through, what they stop, and what they write."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from marrow_models.errors import Reason, WarehouseError
from marrow_models.records import CellTable
from tests.unit.store_house.factories import LABELS, begin_night, cell_table, diagnosis_record, finish_slide
from warehouse.connection import open_warehouse
from warehouse.frames import cells_frame, manifest_frame, night_frame
from warehouse.ledger import State, record
from warehouse.load import load_diagnosis
from warehouse.manifest import read_manifest
from warehouse.notice import RESEARCH_USE_ONLY
from warehouse.validate import Gates, store_results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from warehouse.connection import Warehouse
    from warehouse.validate import GateResult

SLIDE = {"slide_width_um": 500.0, "slide_height_um": 250.0, "labels": list(LABELS), "fields": [0, 1]}
NIGHT = {"least_discovered": 1, "largest_quarantined_share": 0.5}


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Gates:
    return Gates(tmp_path_factory.mktemp("validation"))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path_factory.mktemp("home") / "marrow.duckdb") as warehouse:
        begin_night(warehouse)
        yield warehouse


def look_at_cells(gates: Gates, cells: CellTable) -> GateResult:
    return gates.validate("cells", cells_frame(cells), run_id="night-1", slide_id="s1", parameters=SLIDE)


def test_good_cells_pass(gates: Gates) -> None:
    result = look_at_cells(gates, cell_table(200))
    assert result.success
    assert (result.failures, result.errors, result.detail) == ((), (), "")
    assert len(result.outcomes) > 20


def test_a_slide_without_cells_passes(gates: Gates) -> None:
    assert look_at_cells(gates, CellTable.empty(LABELS)).success


def first(values: np.ndarray, value: float) -> np.ndarray:
    changed = values.copy()
    changed[0] = value
    return changed


@pytest.mark.parametrize(
    ("spoil", "column"),
    [
        (lambda c: replace(c, x_um=first(c.x_um, 501.0)), "x_um"),
        (lambda c: replace(c, y_um=first(c.y_um, -0.5)), "y_um"),
        (lambda c: replace(c, x_um=first(c.x_um, np.nan)), "x_um"),
        (lambda c: replace(c, y_um=first(c.y_um, np.inf)), "y_um"),
        (lambda c: replace(c, width_um=first(c.width_um, 0.5)), "width_um"),
        (lambda c: replace(c, height_um=first(c.height_um, 121.0)), "height_um"),
        (lambda c: replace(c, detection_score=first(c.detection_score, 1.5)), "detection_score"),
        (lambda c: replace(c, field_id=first(c.field_id, 7)), "field_id"),
        (lambda c: replace(c, probabilities=first(c.probabilities, np.nan)), "confidence"),
        (lambda c: replace(c, probabilities=first(c.probabilities, 0.0)), "probability_sum"),
        (lambda c: replace(c, probabilities=first(c.probabilities, 0.3)), "probability_sum"),
        (lambda c: replace(c, probabilities=np.tile([[-0.5, 1.5, 0, 0]], (len(c), 1))), "least_probability"),
        (lambda c: replace(c, x_um=first(c.x_um, c.x_um[1]), y_um=first(c.y_um, c.y_um[1])), "x_um, y_um"),
        (lambda c: replace(c, labels=("unicorn",) * len(LABELS)), "cell_class"),
    ],
)
def test_cells_that_cannot_be_are_stopped(gates: Gates, spoil: Callable[[CellTable], CellTable], column: str) -> None:
    result = look_at_cells(gates, spoil(cell_table(20)))
    assert not result.success
    assert result.errors == ()
    failed = {outcome.column: outcome for outcome in result.failures}
    assert column in failed
    assert failed[column].unexpected_count
    assert column in result.detail


def test_a_check_that_cannot_be_made_is_an_error_of_its_own(gates: Gates) -> None:
    frame = cells_frame(cell_table(5)).astype({"width_um": "str"})
    result = gates.validate("cells", frame, run_id="night-1", slide_id="s1", parameters=SLIDE)
    assert not result.success
    assert "width_um" in {outcome.column for outcome in result.errors}
    assert "width_um" not in {outcome.column for outcome in result.failures}
    assert "could not be checked" in result.detail


def test_a_column_or_a_parameter_that_is_not_given_is_named(gates: Gates) -> None:
    frame = cells_frame(cell_table(5)).drop(columns="confidence")
    with pytest.raises(WarehouseError, match="gate cells needs confidence, fields"):
        gates.validate("cells", frame, run_id="n", parameters={k: v for k, v in SLIDE.items() if k != "fields"})


def test_a_night_that_adds_up_passes(gates: Gates, begun: Warehouse) -> None:
    finish_slide(begun)
    load_diagnosis(begun, diagnosis_record())
    result = gates.validate("night", night_frame(begun, "night-1"), run_id="night-1", parameters=NIGHT)
    assert result.success, result.detail


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"discovered": 0}, "discovered"),
        ({"unaccounted": 1}, "unaccounted"),
        ({"quarantined_share": 0.9}, "quarantined_share"),
        ({"worst_percent_error": 0.2}, "worst_percent_error"),
        ({"worst_slide_percent_error": float("nan")}, "worst_slide_percent_error"),
        ({"faults": 2}, "faults"),
    ],
)
def test_a_night_that_went_wrong_is_stopped(
    gates: Gates, begun: Warehouse, changes: dict[str, float], column: str
) -> None:
    frame = night_frame(begun, "night-1").assign(
        discovered=2, **{k: v for k, v in changes.items() if k != "discovered"}
    )
    if "discovered" in changes:
        frame["discovered"] = 0
    result = gates.validate("night", frame, run_id="night-1", parameters=NIGHT)
    assert {outcome.column for outcome in result.failures} == {column}


def test_the_nights_frame_follows_the_ledger(begun: Warehouse) -> None:
    before = night_frame(begun, "night-1").iloc[0]
    record(begun, "night-1", "e1", State.DISCOVERED)
    record(begun, "night-1", "e1", State.QUARANTINED, reason=Reason.TRUNCATED)
    record(begun, "night-1", "e2", State.DISCOVERED)
    after = night_frame(begun, "night-1").iloc[0]
    assert after["discovered"] - before["discovered"] == 2
    assert after["quarantined"] - before["quarantined"] == 1
    assert after["unaccounted"] - before["unaccounted"] == 1


def test_outcomes_are_kept_in_the_warehouse(gates: Gates, begun: Warehouse) -> None:
    good = look_at_cells(gates, cell_table(5))
    bad = look_at_cells(gates, replace(cell_table(5), width_um=np.full(5, 500, np.float32)))
    before = begun.count("validations")
    store_results(begun, [good, bad])
    assert begun.count("validations") - before == len(good.outcomes) + len(bad.outcomes)
    with begun.exclusive() as connection:
        failed = connection.execute(
            "SELECT expectation, column_name, unexpected_count FROM validations WHERE NOT success"
        ).fetchall()
    assert failed == [("column_values_to_be_between", "width_um", 5)]


def keyed(text: str) -> str:
    return hashlib.sha256(b"key" + text.encode()).hexdigest()


def test_no_name_reaches_the_pages_and_no_page_reaches_out(gates: Gates, tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("file,patient_id,age_years\nCANARYFILE.svs,CANARYPATIENT,61\nCANARYTWO.svs,CANARYPATIENT,62\n")
    frame = manifest_frame(read_manifest(path), keyed)
    good = gates.validate("manifest", frame, run_id="night-1")
    assert good.success, good.detail
    doubled = frame.assign(file=frame["file"].iloc[0])
    bad = gates.validate("manifest", doubled, run_id="night-2")
    assert [(o.column, o.unexpected_count) for o in bad.failures] == [("file", 2)]
    index = gates.build_docs()
    home = index.parents[4]
    written = [file for file in home.rglob("*") if file.is_file()]
    assert index in written
    for file in written:
        content = file.read_bytes()
        assert b"CANARY" not in content
        assert str(home).encode() not in content
    for page in index.parent.rglob("*.html"):
        text = page.read_text()
        assert RESEARCH_USE_ONLY in text
        assert "Content-Security-Policy" in text


def test_only_the_last_runs_and_the_slides_that_failed_keep_their_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warehouse.validate.KEPT_PASSED_SLIDES", 1)
    gates = Gates(tmp_path)
    bad = replace(cell_table(3), width_um=np.full(3, 500, np.float32))
    for run_id in ("night-1", "night-2"):
        for slide_id, cells in (("s1", bad), ("s2", cell_table(3)), ("s3", cell_table(3))):
            gates.validate("cells", cells_frame(cells), run_id=run_id, slide_id=slide_id, parameters=SLIDE)
    index = gates.build_docs(keep_runs=1)
    kept = sorted(folder.name for folder in (tmp_path / "gx/uncommitted/validations/cells").iterdir())
    assert kept == ["night-2 s1", "night-2 s3"]
    pages = {page.parents[1].name for page in (index.parent / "validations").rglob("*.html")}
    assert pages == set(kept)


def test_a_project_opened_again_goes_on(tmp_path: Path) -> None:
    for run_id in ("night-1", "night-2"):
        result = Gates(tmp_path).validate(
            "cells", cells_frame(cell_table(3)), run_id=run_id, slide_id="s1", parameters=SLIDE
        )
        assert result.success
    stored = list((tmp_path / "gx/uncommitted/validations").rglob("*.json"))
    assert [json.loads(file.read_text())["success"] for file in stored] == [True, True]
