"""F41-F44, F66, F68: results that cannot be, settings that are wrong, and models that changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows import cli
from marrow_models.bundle import load_bundle
from marrow_models.diagnosis.model_files import load_model
from marrow_models.diagnosis.rules import load_rules
from marrow_models.errors import NightFailed, Reason, SlideRefused
from marrow_models.model_output import ENOUGH_CELLS, check_output
from marrow_models.pyramid.ingest import StoreReceipt
from marrow_models.records import CellTable, Field, Rect
from marrow_models.taxonomy import load_taxonomy
from tasks.analyse import SlideCells
from tasks.night import config_digest, result_key
from tasks.suggestion import suggestion_for
from tasks.validate import validate_cells, validate_night
from tests.unit.operating.nights import begun
from tests.unit.store_house.factories import analysis_record, begin_night, cell_table, everything, slide_record
from warehouse.connection import Warehouse, open_warehouse
from warehouse.ledger import State
from warehouse.load import load_slide
from warehouse.publish import publish
from warehouse.read import PatientCounts
from warehouse.validate import Gates

RULES = ("icsh2008", "who5", "icc2022")
Spoil = Callable[[np.ndarray], np.ndarray]


def with_probabilities(count: int, change: Spoil) -> CellTable:
    cells = cell_table(count)
    return replace(cells, probabilities=change(cells.probabilities.copy()).astype(np.float32))


def one_nan(values: np.ndarray) -> np.ndarray:
    values[3, 1] = np.nan
    return values


def one_above_one(values: np.ndarray) -> np.ndarray:
    values[3] = [1.5, -0.5, 0, 0]
    return values


SPOILT: dict[str, Spoil] = {
    "NaN in one cell": one_nan,
    "infinite": lambda values: values * np.inf,
    "all logits equal": lambda values: np.full_like(values, 0.25),
    "the same answer for every cell": lambda values: np.repeat(values[:1], len(values), axis=0),
    "a probability above one": one_above_one,
    "no probabilities": lambda values: values * 0.5,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse with one slide counted under the key k1."""
    with open_warehouse(tmp_path / "marrow.duckdb") as warehouse:
        begin_night(warehouse)
        cells = cell_table()
        load_slide(warehouse, slide_record(), analysis_record(cells, "k1"), cells)
        yield warehouse


@pytest.mark.parametrize("kind", SPOILT)
def test_f42_what_no_working_model_returns_is_model_output_and_never_the_first_class(kind: str) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(SlideRefused) as refused:
        check_output(with_probabilities(ENOUGH_CELLS, SPOILT[kind]))
    assert refused.value.reason is Reason.MODEL_OUTPUT


def test_f42_a_score_that_is_no_number_is_model_output() -> None:
    cells = cell_table(12)
    with pytest.raises(SlideRefused, match="not finite"):
        check_output(replace(cells, detection_score=np.full(12, np.nan, np.float32)))


@pytest.mark.parametrize("count", [0, 1, 12, 500])
def test_f42_what_a_working_model_returns_is_let_through(count: int) -> None:
    check_output(cell_table(count))


def test_f42_a_few_cells_may_look_alike() -> None:
    check_output(with_probabilities(ENOUGH_CELLS - 1, SPOILT["the same answer for every cell"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda cells: replace(cells, x_um=cells.x_um + 1e6), "EXPECTATION_FAILED"),
        (lambda cells: replace(cells, probabilities=np.full_like(cells.probabilities, 0.25)), "MODEL_OUTPUT"),
    ],
    ids=["cells outside of the slide: EXPECTATION_FAILED", "the same for all: MODEL_OUTPUT"],
)
def test_f42_the_stage_refuses_the_slide_with_its_reason(root: Path, spoil, reason: str) -> None:
    bundle = load_bundle("phantom")
    cells = cell_table(40)
    labels = len(bundle.labels)
    wide = np.zeros((40, labels), np.float32)
    wide[:, : cells.probabilities.shape[1]] = cells.probabilities
    whole = replace(cells, probabilities=wide, labels=bundle.labels)
    gates = Gates(root / "validation")
    receipt = StoreReceipt(8000, 8000, 0.25, 3, "tiff", 1, 0, 0, 0, 0, 1)
    fields = tuple(Field(i, Rect(i * 1000, 0, 1000, 1000)) for i in range(2))
    with begun(root, "n1") as night:
        night = replace(night, gates=lambda: gates)
        validate_cells.__wrapped__(night, "s1", receipt, SlideCells(whole, fields, 1.0))
        with pytest.raises(SlideRefused) as refused:
            validate_cells.__wrapped__(night, "s1", receipt, SlideCells(spoil(whole), fields, 1.0))
    assert refused.value.reason == Reason(reason)


@pytest.mark.slow
def test_f41_a_night_most_of_which_was_refused_fails_and_what_is_published_stays(root: Path) -> None:
    gates = Gates(root / "validation")
    with begun(root, "n0") as night:
        published = publish(night.warehouse, night.home.published).path.read_bytes()
    with begun(root, "n1") as night:
        night = replace(night, gates=lambda: gates)
        for number in range(20):
            night.enter(f"s{number}", State.DISCOVERED)
            night.refuse(f"s{number}", SlideRefused(Reason.TILE_ERRORS))
        with pytest.raises(NightFailed, match=r"quarantined_share.*Nothing was published"):
            validate_night.__wrapped__(night)
        validate_night.__wrapped__(night, all_may_fail=True)  # a retry of slides that failed before
        assert (night.home.published / "marrow.duckdb").read_bytes() == published


@pytest.mark.slow
def test_f41_a_night_without_a_slide_fails(root: Path) -> None:
    gates = Gates(root / "validation")
    with begun(root, "n1") as night, pytest.raises(NightFailed, match="discovered"):
        validate_night.__wrapped__(replace(night, gates=lambda: gates))


@pytest.mark.parametrize("cells", [0, 1, 100, 499])
def test_f44_fewer_cells_than_the_minimum_are_called_insufficient_and_suggest_nothing(cells: int) -> None:
    bundle = load_bundle("phantom")
    taxonomy = load_taxonomy(bundle.taxonomy)
    counting = [label for label in bundle.labels if taxonomy.get(label).in_differential]
    counts = dict.fromkeys(bundle.labels, 0) | {counting[0]: cells}
    pooled = PatientCounts("p1", "bone_marrow", ("r1",), counts)
    record = suggestion_for(
        pooled, 61.0, taxonomy, load_model(bundle.diagnosis_path), [load_rules(name) for name in RULES],
        run_id="n1", model_digest=bundle.digest,
    )  # fmt: skip
    assert (record.status, record.diagnosis, record.probability) == ("insufficient", None, None)
    assert any("500" in reason for reason in record.reasons)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """`marrow check` with this settings file and these variables: exit code and messages; nothing must be written."""
    for name in [name for name in os.environ if name.startswith("MARROW_")]:
        monkeypatch.delenv(name)

    def run(toml: str = "", **variables: str) -> tuple[int, str]:
        home = tmp_path / "home"
        home.mkdir()
        (home / "marrow.toml").write_text(toml)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["marrow", "check", "--home", str(home)])
        code = cli._run()
        assert [path.name for path in home.iterdir()] == ["marrow.toml"]
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    return run


@pytest.mark.parametrize(
    ("toml", "variables", "named"),
    [
        ("targt_cells = 100", {}, "targt_cells"),
        ('target_cells = "many"', {}, "target_cells"),
        ("target_cells = -1", {}, "target_cells"),
        ("backups_kept = -1", {}, "backups_kept"),
        ("[cluster]\nkind = 1", {}, "cluster"),
        ("target_cells = = 1", {}, "Settings are wrong"),
        ("", {"MARROW_TARGT_CELLS": "1"}, "MARROW_TARGT_CELLS"),
        ("", {"MARROW_BATCH_SIZE": "zero"}, "batch_size"),
    ],
)
def test_f66_check_names_the_wrong_setting_before_it_touches_anything(
    check, toml: str, variables: dict[str, str], named: str
) -> None:
    code, said = check(toml, **variables)
    assert code == 2
    assert named in said
    assert "Traceback" not in said


def test_f68_another_model_setting_method_or_scale_is_another_result() -> None:
    config = config_digest("1", 500)
    keys = {
        result_key("s1", 0.25, "m1", config),
        result_key("s2", 0.25, "m1", config),
        result_key("s1", 0.26, "m1", config),
        result_key("s1", 0.25, "m2", config),
        result_key("s1", 0.25, "m1", config_digest("1", 100)),
        result_key("s1", 0.25, "m1", config_digest("2", 500)),
    }
    assert len(keys) == 6
    assert result_key("s1", 0.25, "m1", config_digest("1", 500)) in keys


def test_f68_a_retry_with_another_setting_stores_a_new_result_and_keeps_the_old(loaded: Warehouse) -> None:
    old = everything(loaded, "fact_cell", "fact_field")
    cells = cell_table(9, seed=3)
    load_slide(loaded, slide_record(), analysis_record(cells, "k2", config_digest="g2"), cells)
    now = everything(loaded, "fact_cell", "fact_field")
    assert all(row in now[table] for table, rows in old.items() for row in rows)
    with loaded.exclusive() as connection:
        current = connection.execute("SELECT result_key, is_current FROM fact_analysis ORDER BY result_key").fetchall()
    assert current == [("k1", False), ("k2", True)]
