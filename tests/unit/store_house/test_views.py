"""What analysts read adds up and hides what does not count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from marrow_models.errors import Reason
from marrow_models.records import CellTable
from tests.unit.store_house.factories import (
    LABELS,
    analysis_record,
    begin_night,
    cell_table,
    diagnosis_record,
    finish_slide,
    run_record,
    slide_record,
    walk,
)
from warehouse.dimensions import store_slide
from warehouse.ledger import State, record
from warehouse.load import load_diagnosis, load_slide
from warehouse.runs import RunState, finish_run, start_run

if TYPE_CHECKING:
    from warehouse.connection import Warehouse


def query(warehouse: Warehouse, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.exclusive() as connection:
        return connection.execute(sql).fetchall()


def next_night(warehouse: Warehouse) -> None:
    finish_run(warehouse, "night-1", RunState.DONE)
    begin_night(warehouse, "night-2")


def test_percentages_of_a_slide_sum_to_100(warehouse: Warehouse) -> None:
    for number in range(3):
        finish_slide(warehouse, f"s{number}", count=37 + number)
    sums = query(warehouse, "SELECT sum(percent) FROM cell_counts GROUP BY slide_id")
    assert [total for (total,) in sums] == pytest.approx([100.0] * 3)


def test_a_class_outside_the_differential_has_cells_but_no_percent(warehouse: Warehouse) -> None:
    cells = finish_slide(warehouse, count=60)
    expected = cells.cell_class.count("smudge")
    assert expected > 0
    assert query(warehouse, "SELECT cells, percent FROM cell_counts WHERE cell_class = 'smudge'") == [(expected, None)]


def test_counts_agree_with_the_cells(warehouse: Warehouse) -> None:
    finish_slide(warehouse, count=50)
    counted = "SELECT slide_id, cell_class, cells FROM cell_counts WHERE cells > 0"
    listed = "SELECT slide_id, cell_class, count(*) FROM cells GROUP BY ALL"
    assert sorted(query(warehouse, counted)) == sorted(query(warehouse, listed))


def test_a_class_that_was_not_found_is_there_with_zero(warehouse: Warehouse) -> None:
    finish_slide(warehouse, count=1)
    rows = query(warehouse, "SELECT cell_class, cells FROM cell_counts")
    assert sorted(label for label, _ in rows) == sorted(LABELS)
    assert sum(cells for _, cells in rows) == 1


def test_a_slide_without_counted_cells_has_no_percentages(warehouse: Warehouse) -> None:
    walk(warehouse, "s1", until=State.VALIDATED)
    empty = CellTable.empty(LABELS)
    load_slide(warehouse, slide_record(), analysis_record(empty), empty)
    assert query(warehouse, "SELECT DISTINCT cells, percent FROM cell_counts") == [(0, None)]


def test_a_slide_in_quarantine_is_listed_but_has_no_cells(warehouse: Warehouse) -> None:
    finish_slide(warehouse)
    next_night(warehouse)
    record(warehouse, "night-2", "s1", State.DISCOVERED)
    assert warehouse.count("cells") == 12
    record(warehouse, "night-2", "s1", State.QUARANTINED, reason=Reason.MODEL_OUTPUT)
    assert query(warehouse, "SELECT state, reason FROM slides") == [("quarantined", "MODEL_OUTPUT")]
    for view in ("cells", "cell_counts", "fields", "analyses"):
        assert warehouse.count(view) == 0


def test_a_deferred_slide_keeps_its_result(warehouse: Warehouse) -> None:
    finish_slide(warehouse)
    next_night(warehouse)
    record(warehouse, "night-2", "s1", State.DISCOVERED)
    record(warehouse, "night-2", "s1", State.DEFERRED, reason=Reason.STILL_COPYING)
    assert warehouse.count("cells") == 12


def test_an_entry_that_was_never_taken_is_listed(warehouse: Warehouse) -> None:
    record(warehouse, "night-1", "e123", State.DISCOVERED)
    record(warehouse, "night-1", "e123", State.QUARANTINED, reason=Reason.EMPTY_FILE)
    assert query(warehouse, "SELECT slide_id, patient_id, state, reason FROM slides") == [
        ("e123", None, "quarantined", "EMPTY_FILE")
    ]


def test_only_the_current_analysis_is_shown(warehouse: Warehouse) -> None:
    finish_slide(warehouse, count=12)
    other = cell_table(20, seed=3)
    load_slide(warehouse, slide_record(), analysis_record(other, "k2", config_digest="g2"), other)
    assert warehouse.count("cells") == 20
    assert warehouse.count("fact_cell") == 32


def test_the_night_says_whose_result_was_kept(warehouse: Warehouse) -> None:
    finish_slide(warehouse, "s1")
    finish_run(warehouse, "night-1", RunState.DONE)
    start_run(warehouse, run_record("night-2"))
    record(warehouse, "night-2", "s1", State.DISCOVERED)
    record(warehouse, "night-2", "s1", State.DONE)
    finish_slide(warehouse, "s2", run_id="night-2")
    rows = query(warehouse, "SELECT run_id, slide_id, unchanged, cells FROM night ORDER BY ALL")
    assert rows == [("night-1", "s1", False, 12), ("night-2", "s1", True, 12), ("night-2", "s2", False, 12)]


def test_a_suggestion_of_a_patient_whose_slides_moved_away_is_gone(warehouse: Warehouse) -> None:
    store_slide(warehouse, slide_record())
    load_diagnosis(warehouse, diagnosis_record())
    assert warehouse.count("patient_diagnoses") == 1
    assert warehouse.count("differentials") == 3
    store_slide(warehouse, slide_record(patient_key="p2"))
    assert warehouse.count("patient_diagnoses") == warehouse.count("differentials") == 0


def test_every_suggestion_carries_the_notice(warehouse: Warehouse) -> None:
    store_slide(warehouse, slide_record())
    load_diagnosis(warehouse, diagnosis_record())
    notice = "For Research Use Only. Not for use in diagnostic procedures."
    assert query(warehouse, "SELECT notice FROM patient_diagnoses") == [(notice,)]
    assert query(warehouse, "FROM notice") == [(notice,)]


def test_reasons_and_probabilities_are_lists_and_maps(warehouse: Warehouse) -> None:
    store_slide(warehouse, slide_record())
    load_diagnosis(warehouse, diagnosis_record(reasons=("a, b", "it's")))
    rows = query(warehouse, "SELECT reasons, probabilities['AML'], len(reasons) FROM patient_diagnoses")
    assert rows == [(["a, b", "it's"], 0.8, 2)]
