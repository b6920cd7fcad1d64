"""Small records of nights that never were. Every value that a test does not name is as good as any other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.records import CellAttribute, CellTable, Field, Rect
from warehouse.dimensions import store_model, store_patient
from warehouse.ledger import State, record
from warehouse.load import load_slide
from warehouse.records import (
    AnalysisRecord,
    CellClassRecord,
    DiagnosisRecord,
    DifferentialRow,
    FieldRecord,
    ModelRecord,
    PatientRecord,
    RunRecord,
    SlideRecord,
)
from warehouse.runs import start_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warehouse.connection import Warehouse

LABELS = ("blast", "erythroblast", "lymphocyte", "smudge")
START = datetime(2026, 11, 21, 1, 30, tzinfo=UTC)
ATTRIBUTES = {"cell_size": ("small", "medium", "large"), "vacuoles": ("absent", "large")}
UM_PER_PX = 0.25
WAY = (State.DISCOVERED, State.INGESTED, State.SURVEYED, State.ANALYSED, State.VALIDATED, State.LOADED, State.DONE)


def run_record(run_id: str = "night-1", **changes: object) -> RunRecord:
    return replace(RunRecord(run_id, START, "manual", "0.1.0", {"batch_size": 8}), **changes)


def patient_record(patient_key: str = "p1", **changes: object) -> PatientRecord:
    return replace(PatientRecord(patient_key, 61.0, "female", (("haemoglobin", 8.1),)), **changes)


def slide_record(slide_id: str = "s1", **changes: object) -> SlideRecord:
    whole = SlideRecord(
        slide_id, "p1", START, 1000, "bone_marrow", "may_gruenwald_giemsa", "aperio", 4000, 4000, UM_PER_PX, 40.0, 0.0
    )
    return replace(whole, **changes)


def class_record(label: str) -> CellClassRecord:
    counts = label != "smudge"
    return CellClassRecord(
        label=label,
        title=label.capitalize(),
        code=None,
        code_system=None,
        category=label if counts else None,
        lineage="unknown",
        in_differential=counts,
        in_me="E" if label == "erythroblast" else None,
        excluded_as=None if counts else "smudge",
    )


def model_record(digest: str = "m1", **changes: object) -> ModelRecord:
    classes = tuple(class_record(label) for label in LABELS)
    return replace(
        ModelRecord(digest, "toy", "1", "d1", "c1", LABELS, "toy4", "1", "t1", classes, "Apache-2.0"), **changes
    )


def cell_table(
    count: int = 12, *, seed: int = 1, fields: int = 2, attributes: Mapping[str, tuple[str, ...]] | None = None
) -> CellTable:
    """``count`` cells in rows of fields 250 um wide, side by side; none shares its centre with another."""
    rng = np.random.default_rng(seed)
    field_id = np.arange(count) % fields
    probabilities = rng.dirichlet(np.full(len(LABELS), 0.4), count).astype(np.float32)
    table = CellTable(
        x_um=field_id * 250 + rng.uniform(10, 240, count),
        y_um=rng.uniform(10, 240, count),
        width_um=rng.uniform(8, 20, count).astype(np.float32),
        height_um=rng.uniform(8, 20, count).astype(np.float32),
        detection_score=rng.uniform(0.3, 1, count).astype(np.float32),
        probabilities=probabilities,
        field_id=field_id.astype(np.int32),
        near_missing=np.zeros(count, bool),
        labels=LABELS,
        attributes={
            name: CellAttribute.of(values, rng.dirichlet(np.full(len(values), 0.5), count).astype(np.float32))
            for name, values in (attributes or {}).items()
        },
    )
    return CellTable.concatenate([table], LABELS)


def analysis_record(cells: CellTable, result_key: str = "k1", *, fields: int = 2, **changes: object) -> AnalysisRecord:
    found = tuple(
        FieldRecord(Field(i, Rect(i * 1000, 0, 1000, 1000), 5.0, 0.9), int((cells.field_id == i).sum()))
        for i in range(fields)
    )
    told = {name: attribute.values for name, attribute in cells.attributes.items()}
    whole = AnalysisRecord(
        result_key, "s1", "m1", "g1", "night-1", len(cells), fields * 250.0 * 250.0, 1.5, found, told
    )
    return replace(whole, **changes)


def diagnosis_record(diagnosis_key: str = "x1", **changes: object) -> DiagnosisRecord:
    rows = (
        DifferentialRow("blast", 30, 30.0, 21.9, 39.6),
        DifferentialRow("erythroblast", 20, 20.0, 13.3, 28.9),
        DifferentialRow("lymphocyte", 50, 50.0, 40.4, 59.6),
    )
    whole = DiagnosisRecord(
        diagnosis_key=diagnosis_key,
        patient_key="p1",
        run_id="night-1",
        model_digest="m1",
        status="suggested",
        diagnosis="AML",
        probability=0.8,
        probabilities={"AML": 0.8, "normal": 0.2},
        reasons=("blasts 30.0 % (21.9-39.6), at or above 20 %",),
        slides=1,
        total_cells=100,
        blast_percent=30.0,
        blast_low=21.9,
        blast_high=39.6,
        me_ratio=None,
        rule_set="who5",
        rule_set_version="1",
        diagnosis_model="dm1",
        differential=rows,
    )
    return replace(whole, **changes)


def walk(warehouse: Warehouse, slide_id: str, *, run_id: str = "night-1", until: State = State.DONE) -> None:
    """Take a slide from discovered up to a state."""
    for state in WAY[: WAY.index(until) + 1]:
        record(warehouse, run_id, slide_id, state)


def begin_night(warehouse: Warehouse, run_id: str = "night-1") -> None:
    """A run that has started, with the toy model and one patient stored."""
    start_run(warehouse, run_record(run_id))
    store_model(warehouse, model_record())
    store_patient(warehouse, patient_record())


def finish_slide(
    warehouse: Warehouse,
    slide_id: str = "s1",
    *,
    run_id: str = "night-1",
    count: int = 12,
    attributes: Mapping[str, tuple[str, ...]] | None = None,
) -> CellTable:
    """Take a slide from the inbox to done, with ``count`` cells and the morphology that the model tells of them."""
    walk(warehouse, slide_id, run_id=run_id, until=State.VALIDATED)
    cells = cell_table(count, attributes=attributes)
    load_slide(
        warehouse,
        slide_record(slide_id),
        analysis_record(cells, f"k-{slide_id}", slide_id=slide_id, run_id=run_id),
        cells,
    )
    record(warehouse, run_id, slide_id, State.LOADED)
    record(warehouse, run_id, slide_id, State.DONE)
    return cells


def everything(warehouse: Warehouse, *tables: str) -> dict[str, list[tuple[object, ...]]]:
    """All rows of tables, to see whether anything changed."""
    with warehouse.exclusive() as connection:
        return {table: sorted(connection.table(table).fetchall(), key=repr) for table in tables}
