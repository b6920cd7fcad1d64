"""A slide is stored whole, once, and only when it adds up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from marrow_models.errors import Reason, SlideRefused, WarehouseError
from marrow_models.records import CellTable
from tests.unit.store_house.factories import (
    LABELS,
    analysis_record,
    cell_table,
    class_record,
    diagnosis_record,
    everything,
    model_record,
    slide_record,
    walk,
)
from warehouse.dimensions import store_model
from warehouse.integrity import faults
from warehouse.ledger import State
from warehouse.load import load_diagnosis, load_slide, make_current
from warehouse.records import DifferentialRow, FieldRecord, LoadReceipt

if TYPE_CHECKING:
    from warehouse.connection import Warehouse
    from warehouse.records import AnalysisRecord

FACTS = ("dim_slide", "fact_analysis", "fact_field", "fact_cell", "fact_patient_diagnosis", "fact_differential")


def test_what_went_in_comes_out(warehouse: Warehouse) -> None:
    cells = cell_table(40)
    receipt = load_slide(warehouse, slide_record(), analysis_record(cells), cells)
    counted = sum(label != "smudge" for label in cells.cell_class)
    assert receipt == LoadReceipt("k1", True, 40, counted)
    with warehouse.exclusive() as connection:
        stored = connection.sql("FROM fact_cell ORDER BY cell_id").to_arrow_table()
    assert stored["cell_id"].to_pylist() == list(range(40))
    assert stored["cell_class"].to_pylist() == list(cells.cell_class)
    for column in (
        "x_um",
        "y_um",
        "width_um",
        "height_um",
        "detection_score",
        "confidence",
        "field_id",
        "near_missing",
    ):
        np.testing.assert_array_equal(stored[column].to_numpy(), getattr(cells, column))
    np.testing.assert_array_equal(np.array(stored["probabilities"].to_pylist(), np.float32), cells.probabilities)
    assert faults(warehouse) == ()


def test_fields_are_stored_in_pixels_and_micrometres(warehouse: Warehouse) -> None:
    cells = cell_table()
    load_slide(warehouse, slide_record(), analysis_record(cells), cells)
    with warehouse.exclusive() as connection:
        rows = connection.execute(
            "SELECT field_id, x_px, width_px, x_um, width_um, found_cells FROM fact_field ORDER BY field_id"
        ).fetchall()
    assert rows == [(0, 0, 1000, 0.0, 250.0, 6), (1, 1000, 1000, 250.0, 250.0, 6)]


def test_loading_again_changes_no_row(warehouse: Warehouse) -> None:
    cells = cell_table()
    first = load_slide(warehouse, slide_record(), analysis_record(cells), cells)
    before = everything(warehouse, *FACTS)
    again = load_slide(warehouse, slide_record(), analysis_record(cells, run_id="night-2"), cells)
    assert everything(warehouse, *FACTS) == before
    assert again == replace(first, stored=False)


def test_a_slide_without_cells_is_a_result(warehouse: Warehouse) -> None:
    empty = CellTable.empty(LABELS)
    assert load_slide(warehouse, slide_record(), analysis_record(empty), empty) == LoadReceipt("k1", True, 0, 0)
    assert faults(warehouse) == ()


def test_a_slide_without_fields_is_a_result(warehouse: Warehouse) -> None:
    empty = CellTable.empty(LABELS)
    load_slide(warehouse, slide_record(), analysis_record(empty, fields=0), empty)
    assert faults(warehouse) == ()


def test_a_newer_key_takes_over_and_the_older_can_be_made_current_again(warehouse: Warehouse) -> None:
    walk(warehouse, "s1", until=State.VALIDATED)
    cells, others = cell_table(10), cell_table(14, seed=2)
    load_slide(warehouse, slide_record(), analysis_record(cells, "old"), cells)
    load_slide(warehouse, slide_record(), analysis_record(others, "new", config_digest="g2"), others)

    def current() -> dict[str, bool]:
        with warehouse.exclusive() as connection:
            return dict(connection.execute("SELECT result_key, is_current FROM fact_analysis").fetchall())

    assert current() == {"old": False, "new": True}
    assert warehouse.count("cells") == 14
    make_current(warehouse, "old")
    assert current() == {"old": True, "new": False}
    load_slide(warehouse, slide_record(), analysis_record(others, "new", config_digest="g2"), others)
    assert current() == {"old": False, "new": True}


def lost_a_cell(analysis: AnalysisRecord, cells: CellTable) -> tuple[AnalysisRecord, CellTable]:
    return analysis, cells.take(np.arange(1, len(cells)))


def claims_more(analysis: AnalysisRecord, cells: CellTable) -> tuple[AnalysisRecord, CellTable]:
    return replace(analysis, cells=analysis.cells + 1), cells


def moved_a_cell(analysis: AnalysisRecord, cells: CellTable) -> tuple[AnalysisRecord, CellTable]:
    field_id = cells.field_id.copy()
    field_id[0] = 1 - field_id[0]
    return analysis, replace(cells, field_id=field_id)


def outside_of_fields(analysis: AnalysisRecord, cells: CellTable) -> tuple[AnalysisRecord, CellTable]:
    return analysis, replace(cells, field_id=np.full(len(cells), 9, np.int32))


def other_labels(analysis: AnalysisRecord, cells: CellTable) -> tuple[AnalysisRecord, CellTable]:
    return analysis, replace(cells, labels=LABELS[::-1])


def not_finite(analysis: AnalysisRecord, cells: CellTable) -> tuple[AnalysisRecord, CellTable]:
    return analysis, replace(cells, probabilities=cells.probabilities * np.float32(np.nan))


def no_width(analysis: AnalysisRecord, cells: CellTable) -> tuple[AnalysisRecord, CellTable]:
    return analysis, replace(cells, width_um=np.zeros(len(cells), np.float32))


def miscounted_field(analysis: AnalysisRecord, cells: CellTable) -> tuple[AnalysisRecord, CellTable]:
    first, *rest = analysis.fields
    return replace(analysis, fields=(FieldRecord(first.field, first.found + 1), *rest)), cells


@pytest.mark.parametrize(
    "spoil",
    [
        lost_a_cell,
        claims_more,
        moved_a_cell,
        outside_of_fields,
        other_labels,
        not_finite,
        no_width,
        miscounted_field,
    ],
)
def test_what_does_not_add_up_is_refused_and_leaves_no_row(warehouse: Warehouse, spoil) -> None:
    before = everything(warehouse, *FACTS)
    cells = cell_table()
    analysis, spoilt = spoil(analysis_record(cells), cells)
    with pytest.raises(SlideRefused) as refused:
        load_slide(warehouse, slide_record(), analysis, spoilt)
    assert refused.value.reason is Reason.INCONSISTENT
    assert refused.value.detail
    assert everything(warehouse, *FACTS) == before
    load_slide(warehouse, slide_record(), analysis_record(cells), cells)  # the warehouse is as usable as before
    assert faults(warehouse) == ()


@pytest.mark.parametrize("seed", range(6))
def test_the_database_counts_of_an_analysis_what_its_rows_say(warehouse: Warehouse, seed: int) -> None:
    earlier = cell_table(seed=seed)
    load_slide(warehouse, slide_record(), analysis_record(earlier, "earlier"), earlier)
    first = warehouse.rows("first_new_rows")[0]
    rng = np.random.default_rng(seed)
    count = 40 * min(seed, 1)  # the first has no cells
    # Numbers that are there twice, fields that are not there, classes that no taxonomy has.
    rows = [
        (int(rng.integers(30)), int(rng.integers(4)), str(rng.choice([*LABELS, "unheard of"]))) for _ in range(count)
    ]
    found = {0: 3, 1: sum(field == 1 for _, field, _ in rows), 9: 0}
    with warehouse.exclusive() as connection:
        for row in rows:
            connection.execute("INSERT INTO fact_cell SELECT 'k', ?, ?, 1, 1, 1, 1, ?, 1, 1, [1], false", row)
        for field in found.items():
            connection.execute("INSERT INTO fact_field SELECT 'k', ?, 0, 0, 1, 1, 0, 0, 1, 1, 1, ?, 1", field)

    names = {name: first[name] for name in ("first_cell", "first_field")}
    (counted,) = warehouse.rows("stored_analysis", result_key="k", taxonomy_digest="t1", **names)

    fields = [field for _, field, _ in rows]
    classes = [label for *_, label in rows]
    assert counted == {
        "cells": len(rows),
        "cell_ids": len({number for number, *_ in rows}),
        "homeless": sum(field not in found for field in fields),
        "field_faults": sum(fields.count(field) != claimed for field, claimed in found.items()),
        "class_cells": sum(label in LABELS for label in classes),
        "counted_cells": sum(label in LABELS and label != "smudge" for label in classes),
    }


def test_a_refused_newer_result_leaves_the_older_one_current(warehouse: Warehouse) -> None:
    cells = cell_table()
    load_slide(warehouse, slide_record(), analysis_record(cells, "old"), cells)
    before = everything(warehouse, *FACTS)
    with pytest.raises(SlideRefused):
        load_slide(warehouse, slide_record(), claims_more(analysis_record(cells, "new"), cells)[0], cells)
    assert everything(warehouse, *FACTS) == before


def test_a_model_must_be_stored_first(warehouse: Warehouse) -> None:
    cells = cell_table()
    with pytest.raises(WarehouseError, match="store the model first"):
        load_slide(warehouse, slide_record(), analysis_record(cells, model_digest="unheard"), cells)


def test_a_slide_must_have_a_scale(warehouse: Warehouse) -> None:
    cells = cell_table()
    with pytest.raises(WarehouseError, match="no um_per_px"):
        load_slide(warehouse, slide_record(um_per_px=None), analysis_record(cells), cells)


def test_slide_and_analysis_must_be_of_one_slide(warehouse: Warehouse) -> None:
    cells = cell_table()
    with pytest.raises(WarehouseError, match="of slide s1, not of s2"):
        load_slide(warehouse, slide_record("s2"), analysis_record(cells), cells)


def test_a_probability_above_one_by_rounding_is_stored_as_one(warehouse: Warehouse) -> None:
    cells = cell_table(1)
    certain = np.array([[1.0000001, 0, 0, 0]], np.float32)
    load_slide(warehouse, slide_record(), analysis_record(cells), replace(cells, probabilities=certain))
    with warehouse.exclusive() as connection:
        assert connection.execute("SELECT confidence FROM fact_cell").fetchone() == (1.0,)


def test_counting_follows_the_taxonomy(warehouse: Warehouse) -> None:
    outside = replace(class_record("lymphocyte"), in_differential=False, category=None)
    classes = tuple(outside if c.label == "lymphocyte" else c for c in model_record().classes)
    store_model(warehouse, model_record("m2", classes=classes, taxonomy_digest="t2"))
    cells = cell_table(60)
    receipt = load_slide(warehouse, slide_record(), analysis_record(cells, model_digest="m2"), cells)
    assert receipt.counted_cells == sum(label in ("blast", "erythroblast") for label in cells.cell_class)


def test_a_suggestion_is_stored_once_and_the_later_one_is_current(warehouse: Warehouse) -> None:
    assert load_diagnosis(warehouse, diagnosis_record()).stored
    before = everything(warehouse, *FACTS)
    assert not load_diagnosis(warehouse, diagnosis_record(run_id="night-2")).stored
    assert everything(warehouse, *FACTS) == before
    insufficient = {"status": "insufficient", "diagnosis": None, "probability": None, "probabilities": {}}
    load_diagnosis(warehouse, diagnosis_record("x2", **insufficient))
    with warehouse.exclusive() as connection:
        rows = connection.execute("SELECT diagnosis_key, is_current FROM fact_patient_diagnosis").fetchall()
    assert dict(rows) == {"x1": False, "x2": True}
    assert faults(warehouse) == ()


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"total_cells": 99}, "100 cells, its total says 99"),
        ({"differential": (DifferentialRow("blast", 100, 99.8, 96.0, 100.0),)}, r"sums to 99\.80"),
        ({"differential": (DifferentialRow("blast", 100, float("nan"), 96.0, 100.0),)}, "sums to nan"),
        ({"probability": 1.2}, "outside of its range"),
        ({"status": "certain"}, "outside of its range"),
        ({"diagnosis": None}, "outside of its range"),
        ({"blast_percent": -1.0}, "outside of its range"),
    ],
)
def test_a_suggestion_that_cannot_be_is_not_stored(
    warehouse: Warehouse, changes: dict[str, object], cause: str
) -> None:
    with pytest.raises(WarehouseError, match=cause):
        load_diagnosis(warehouse, diagnosis_record(**changes))
    assert warehouse.count("fact_patient_diagnosis") == warehouse.count("fact_differential") == 0


def test_erythroblasts_in_blood_stay_outside_the_denominator(warehouse: Warehouse) -> None:
    rows = (DifferentialRow("lymphocyte", 50, 100.0, 92.9, 100.0), DifferentialRow("erythroblast", 7, None, None, None))
    assert load_diagnosis(warehouse, diagnosis_record(total_cells=50, differential=rows)).counted_cells == 50


def test_a_patient_without_cells_is_insufficient_not_an_error(warehouse: Warehouse) -> None:
    nothing = {"status": "insufficient", "diagnosis": None, "probability": None, "total_cells": 0, "differential": ()}
    assert load_diagnosis(warehouse, diagnosis_record(**nothing)).stored
