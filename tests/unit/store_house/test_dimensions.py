"""Dimensions grow more complete, and never less."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from marrow_models.errors import WarehouseError
from marrow_models.records import ManifestRow
from marrow_models.taxonomy import built_in_taxonomies, load_taxonomy
from tests.unit.store_house.factories import START, everything, model_record, patient_record, slide_record
from warehouse.dimensions import remember_file, store_model, store_patient, store_slide
from warehouse.read import first_seen_at, known_slide
from warehouse.records import ModelRecord, PatientRecord

if TYPE_CHECKING:
    from warehouse.connection import Warehouse

DIMENSIONS = ("dim_patient", "fact_laboratory", "dim_slide", "dim_model", "dim_cell_class", "known_file")


def test_storing_the_same_again_changes_no_row(warehouse: Warehouse) -> None:
    def store() -> None:
        store_patient(warehouse, patient_record())
        store_slide(warehouse, slide_record())
        store_model(warehouse, model_record())
        remember_file(warehouse, "f1", "s1", at=START)

    store()
    before = everything(warehouse, *DIMENSIONS)
    store()
    assert everything(warehouse, *DIMENSIONS) == before


def test_a_slide_is_completed_by_its_ingest(warehouse: Warehouse) -> None:
    bare = {"width_px": None, "height_px": None, "um_per_px": None, "format": None, "objective_power": None}
    store_slide(warehouse, slide_record(**bare))
    store_slide(warehouse, slide_record(first_seen_at=START + timedelta(days=1)))
    store_slide(warehouse, slide_record(**bare))  # the next night sees the file before it opens it
    row = warehouse.rows("slide", slide_id="s1")[0]
    assert (row["width_px"], row["um_per_px"], row["format"]) == (4000, 0.25, "aperio")
    assert first_seen_at(warehouse, "s1") == START


def test_a_corrected_manifest_moves_a_slide_to_its_patient(warehouse: Warehouse) -> None:
    store_slide(warehouse, slide_record(patient_key="wrong"))
    store_slide(warehouse, slide_record(patient_key="right"))
    assert warehouse.rows("slide", slide_id="s1")[0]["patient_key"] == "right"


def test_a_patient_keeps_what_a_later_manifest_leaves_out(warehouse: Warehouse) -> None:
    store_patient(warehouse, patient_record(age_years=None, sex=None, laboratory=(("platelets", 20.0),)))
    assert everything(warehouse, "dim_patient", "fact_laboratory") == {
        "dim_patient": [("p1", 61.0, "female")],
        "fact_laboratory": [("p1", "haemoglobin", 8.1), ("p1", "platelets", 20.0)],
    }


def test_a_model_with_a_label_that_its_taxonomy_lacks_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="unicorn is not in taxonomy toy4"):
        store_model(warehouse, model_record("m2", labels=("blast", "unicorn")))


def test_a_file_that_was_replaced_holds_another_slide(warehouse: Warehouse) -> None:
    assert known_slide(warehouse, "f1") is None
    remember_file(warehouse, "f1", "s1")
    remember_file(warehouse, "f1", "s2")
    assert known_slide(warehouse, "f1") == "s2"


def test_the_first_value_of_several_rows_is_the_patients() -> None:
    rows = (
        ManifestRow("a.svs", "x", age_years=None, sex="male", laboratory=(("wbc", 3.0),)),
        ManifestRow("b.svs", "x", age_years=40.0, sex="female", laboratory=(("hb", 9.0), ("wbc", 4.0))),
    )
    assert PatientRecord.of("key", rows) == PatientRecord("key", 40.0, "male", (("hb", 9.0), ("wbc", 3.0)))


@pytest.mark.parametrize("name", built_in_taxonomies())
def test_every_taxonomy_of_ours_can_be_stored(warehouse: Warehouse, name: str) -> None:
    taxonomy = load_taxonomy(name)
    classes = ModelRecord.classes_of(taxonomy)
    store_model(warehouse, model_record("m9", labels=taxonomy.labels, classes=classes, taxonomy_digest=taxonomy.digest))
    with warehouse.exclusive() as connection:
        rows = connection.execute(
            "SELECT label, category, in_differential FROM cell_classes WHERE taxonomy_digest = ? ORDER BY position",
            [taxonomy.digest],
        ).fetchall()
    assert rows == [(c.label, c.category, c.in_differential) for c in taxonomy.classes]
