"""Small typed answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marrow_models.errors import Reason
from tests.unit.store_house.factories import (
    LABELS,
    analysis_record,
    cell_table,
    diagnosis_record,
    finish_slide,
    patient_record,
    run_record,
    slide_record,
)
from warehouse.dimensions import store_patient, store_slide
from warehouse.ledger import State, record
from warehouse.load import load_diagnosis, load_slide
from warehouse.read import (
    NightRow,
    StoredResult,
    first_seen_at,
    latest_run,
    night_table,
    patient_table,
    patients_of_run,
    pooled_counts,
    pooled_counts_of_all,
    run_of,
    slide_states,
    stored_result,
)
from warehouse.runs import RunState, finish_run, start_run

if TYPE_CHECKING:
    from warehouse.connection import Warehouse


def test_the_latest_run_is_the_one_that_started_last(warehouse: Warehouse) -> None:
    finish_run(warehouse, "night-1", RunState.DONE)
    start_run(warehouse, run_record("night-2"))
    latest = latest_run(warehouse)
    assert latest is not None
    assert (latest.run_id, latest.state, latest.discovered, latest.finished_at) == ("night-2", "running", None, None)
    assert run_of(warehouse, "night-9") is None


def test_the_nights_table_has_every_slide(warehouse: Warehouse) -> None:
    cells = finish_slide(warehouse)
    record(warehouse, "night-1", "e9", State.DISCOVERED)
    record(warehouse, "night-1", "e9", State.QUARANTINED, reason=Reason.EMPTY_FILE)
    counted = sum(label != "smudge" for label in cells.cell_class)
    assert night_table(warehouse, "night-1") == [
        NightRow("e9", None, "quarantined", "EMPTY_FILE", 1, None, None, None, False, None),
        NightRow("s1", "p1", "done", None, 1, 2, 12, counted, False, None),
    ]


def test_slide_states_show_the_last_change_first(warehouse: Warehouse) -> None:
    finish_slide(warehouse, "s1")
    finish_slide(warehouse, "s2")
    assert [(row.slide_id, row.state) for row in slide_states(warehouse)] == [("s2", "done"), ("s1", "done")]


def test_the_patient_table_holds_the_suggestion(warehouse: Warehouse) -> None:
    store_slide(warehouse, slide_record())
    load_diagnosis(warehouse, diagnosis_record())
    (row,) = patient_table(warehouse)
    assert (row.patient_id, row.status, row.diagnosis, row.total_cells) == ("p1", "suggested", "AML", 100)
    assert row.reasons == diagnosis_record().reasons


def test_a_result_is_found_by_slide_model_and_configuration(warehouse: Warehouse) -> None:
    cells = finish_slide(warehouse)
    counted = sum(label != "smudge" for label in cells.cell_class)
    assert stored_result(warehouse, "s1", "m1", "g1") == StoredResult("k-s1", True, 12, counted)
    for other in (("s2", "m1", "g1"), ("s1", "m2", "g1"), ("s1", "m1", "g2")):
        assert stored_result(warehouse, *other) is None


def test_a_result_that_was_overtaken_is_found_as_not_current(warehouse: Warehouse) -> None:
    finish_slide(warehouse)
    other = cell_table(5, seed=2)
    load_slide(warehouse, slide_record(), analysis_record(other, "k2", config_digest="g2"), other)
    found = stored_result(warehouse, "s1", "m1", "g1")
    assert found is not None
    assert not found.is_current


def test_counts_of_a_patient_are_pooled_over_slides_by_specimen(warehouse: Warehouse) -> None:
    first = finish_slide(warehouse, "s1", count=12)
    second = finish_slide(warehouse, "s2", count=30)
    finish_slide(warehouse, "s3", count=7)
    store_slide(warehouse, slide_record("s3", specimen="blood"))
    blood, marrow = pooled_counts(warehouse, "p1", "m1")
    assert (blood.specimen, sum(blood.counts.values()), blood.result_keys) == ("blood", 7, ("k-s3",))
    assert marrow.result_keys == ("k-s1", "k-s2")
    together = first.cell_class + second.cell_class
    assert marrow.counts == {label: together.count(label) for label in LABELS}
    assert list(marrow.counts) == list(LABELS)


def test_slides_in_quarantine_are_not_pooled(warehouse: Warehouse) -> None:
    finish_slide(warehouse, "s1")
    finish_slide(warehouse, "s2")
    finish_run(warehouse, "night-1", RunState.DONE)
    start_run(warehouse, run_record("night-2"))
    record(warehouse, "night-2", "s2", State.DISCOVERED)
    record(warehouse, "night-2", "s2", State.QUARANTINED, reason=Reason.TIMEOUT)
    (counts,) = pooled_counts(warehouse, "p1", "m1")
    assert counts.result_keys == ("k-s1",)


def test_nobody_has_counts_by_a_model_that_never_ran(warehouse: Warehouse) -> None:
    finish_slide(warehouse)
    assert pooled_counts(warehouse, "p1", "m2") == ()
    assert pooled_counts(warehouse, "p2", "m1") == ()


def test_the_patients_of_a_run_are_those_of_its_slides(warehouse: Warehouse) -> None:
    finish_slide(warehouse, "s1")
    store_slide(warehouse, slide_record("s2", patient_key="p0"))
    record(warehouse, "night-1", "s2", State.DISCOVERED)
    record(warehouse, "night-1", "s2", State.QUARANTINED, reason=Reason.TRUNCATED)
    store_slide(warehouse, slide_record("s3", patient_key="p7"))  # not of this run
    assert patients_of_run(warehouse, "night-1") == ("p0", "p1")


def test_a_new_slide_was_never_seen(warehouse: Warehouse) -> None:
    assert first_seen_at(warehouse, "s1") is None


def test_the_counts_of_all_patients_are_those_of_each(warehouse: Warehouse) -> None:
    """The plain way asks once for every patient."""
    for number, (patient, specimen) in enumerate(
        [("p1", "bone_marrow"), ("p2", "blood"), ("p1", "blood"), ("p2", None), ("p3", "bone_marrow"), ("p1", "blood")]
    ):
        store_patient(warehouse, patient_record(patient))
        finish_slide(warehouse, f"s{number}", count=10 + number)
        store_slide(warehouse, slide_record(f"s{number}", patient_key=patient, specimen=specimen))
    together = pooled_counts_of_all(warehouse, "m1")
    assert together == {patient: pooled_counts(warehouse, patient, "m1") for patient in ("p1", "p2", "p3")}
    assert [list(counts.counts) for counts in together["p1"]] == [list(LABELS), list(LABELS)]
    assert pooled_counts_of_all(warehouse, "another model") == {}
