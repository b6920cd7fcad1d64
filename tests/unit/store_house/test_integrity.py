"""Every invariant of the warehouse notices when it is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.store_house.factories import ATTRIBUTES, diagnosis_record, finish_slide
from warehouse.integrity import faults
from warehouse.load import load_diagnosis

if TYPE_CHECKING:
    from warehouse.connection import Warehouse


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("DELETE FROM fact_cell WHERE cell_id = 0", "analyses whose cells are not all there: 1"),
        ("UPDATE fact_cell SET cell_id = 1 WHERE cell_id = 0", "analyses with a cell number twice: 1"),
        ("DELETE FROM fact_field WHERE field_id = 0", "analyses whose fields are not all there: 1"),
        ("UPDATE fact_field SET found_cells = 0 WHERE field_id = 0", "analyses whose fields are not all there: 1"),
        ("DELETE FROM fact_analysis", "cells of no analysis: 12"),
        ("DELETE FROM fact_cell_attribute WHERE cell_id = 0", "analyses whose attributes are not all there: 1"),
        ("DELETE FROM fact_cell_attribute", "analyses whose attributes are not all there: 1"),
        (
            "UPDATE fact_cell_attribute SET cell_id = 1 WHERE cell_id = 0",
            "analyses with an attribute of a cell twice: 1",
        ),
        ("DELETE FROM fact_cell WHERE cell_id = 0", "attributes of no cell: 2"),
        (
            "UPDATE fact_cell_attribute SET value = 'huge' WHERE cell_id = 0",
            "attributes that the model does not tell: 2",
        ),
        ("DELETE FROM dim_attribute_value", "attributes that the model does not tell: 24"),
        ("DELETE FROM dim_slide", "analyses of no slide: 1"),
        ("DELETE FROM dim_model", "analyses by no model: 1"),
        ("UPDATE fact_analysis SET is_current = false", "slides without a current analysis: 1"),
        (
            "INSERT INTO fact_analysis SELECT * REPLACE ('k2' AS result_key) FROM fact_analysis",
            "slides with more than one current analysis: 1",
        ),
        (
            "INSERT INTO fact_patient_diagnosis SELECT * REPLACE ('x2' AS diagnosis_key) FROM fact_patient_diagnosis",
            "patients with more than one current suggestion: 1",
        ),
        ("DELETE FROM fact_patient_diagnosis", "differentials of no suggestion: 3"),
        ("DELETE FROM dim_run", "events of no run: 7"),
    ],
)
def test_damage_is_found(warehouse: Warehouse, damage: str, fault: str) -> None:
    finish_slide(warehouse, attributes=ATTRIBUTES)
    load_diagnosis(warehouse, diagnosis_record())
    assert faults(warehouse) == ()
    with warehouse.exclusive() as connection:
        connection.execute(damage)
    assert fault in faults(warehouse)
