"""Loading results: a slide or a patient in one transaction, once for each key, and only when it adds up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from marrow_models.errors import Reason, SlideRefused, WarehouseError
from warehouse.dimensions import store_attribute_values, store_slide
from warehouse.records import LoadReceipt
from warehouse.staging import attributes_table, cells_table, differential_table, fields_table

if TYPE_CHECKING:
    from marrow_models.records import CellTable
    from warehouse.connection import Row, Warehouse
    from warehouse.records import AnalysisRecord, DiagnosisRecord, SlideRecord

PERCENT_TOLERANCE = 0.1
"""How far the percentages of a differential may be from 100 in sum (they are rounded to 0.1)."""


def load_slide(warehouse: Warehouse, slide: SlideRecord, analysis: AnalysisRecord, cells: CellTable) -> LoadReceipt:
    """Store everything of a slide's analysis in one transaction, and make it the slide's current one.

    A result key that is stored already is not stored again. SlideRefused(INCONSISTENT), and nothing stored,
    when the rows do not add up to what the analysis claims; WarehouseError when the model is not stored.
    """
    if slide.slide_id != analysis.slide_id:
        raise WarehouseError(f"the analysis is of slide {analysis.slide_id}, not of {slide.slide_id}.")
    with warehouse.transaction():
        store_slide(warehouse, slide)
        stored = warehouse.row("analysis", result_key=analysis.result_key)
        if stored:
            make_current(warehouse, analysis.result_key)
            return LoadReceipt(analysis.result_key, False, stored["cells"], stored["counted_cells"])
        staged = cells_table(cells)
        model = warehouse.row("model", digest=analysis.model_digest)
        if model is None:
            raise WarehouseError("the model of an analysis is not in the warehouse: store the model first.")
        counted = _counted_cells(model, cells, staged)
        _check_attributes(analysis, cells)
        first: Row = warehouse.rows("first_new_rows")[0]
        try:
            _insert_analysis(warehouse, analysis, cells, staged, counted, first)
        except duckdb.ConstraintException as error:
            raise SlideRefused(Reason.INCONSISTENT, "a value is outside of its range") from error
        _check_analysis(warehouse, analysis, model, counted, first)
        make_current(warehouse, analysis.result_key)
    return LoadReceipt(analysis.result_key, True, len(cells), counted)


def make_current(warehouse: Warehouse, result_key: str) -> None:
    """Make a stored analysis the current one of its slide."""
    with warehouse.transaction():
        warehouse.run("make_analysis_current", result_key=result_key)


def load_diagnosis(warehouse: Warehouse, diagnosis: DiagnosisRecord) -> LoadReceipt:
    """Store a patient's suggestion and differential, and make it the patient's current one.

    A diagnosis key that is stored already is not stored again. WarehouseError, and nothing stored, when the
    differential does not add up or a value is outside of its range.
    """
    _check_differential(diagnosis)
    key = diagnosis.diagnosis_key
    with warehouse.transaction():
        stored = warehouse.row("diagnosis", diagnosis_key=key)
        if stored is None:
            try:
                _insert_diagnosis(warehouse, diagnosis)
            except duckdb.ConstraintException as error:
                raise WarehouseError(
                    "a patient's suggestion holds a value outside of its range; nothing of it is stored."
                ) from error
        warehouse.run("make_diagnosis_current", diagnosis_key=key)
    return LoadReceipt(key, stored is None, sum(r.cells for r in diagnosis.differential), diagnosis.total_cells)


def retire_diagnoses(warehouse: Warehouse) -> None:
    """Let no suggestion stand that rests on no current analysis: its slides are in quarantine or of another patient."""
    warehouse.run("retire_diagnoses")


def _counted_cells(model: Row, cells: CellTable, staged: pa.Table) -> int:
    if cells.labels != tuple(model["labels"]):
        raise SlideRefused(Reason.INCONSISTENT, "the classes of the cells are not those of the model")
    if not len(cells):
        return 0
    counting = set(model["counting"] or ())
    indices = pa.chunked_array([chunk.indices for chunk in staged.column("cell_class").chunks]).to_numpy()
    found = np.bincount(indices, minlength=len(cells.labels))
    return int(found[[label in counting for label in cells.labels]].sum())


def _check_attributes(analysis: AnalysisRecord, cells: CellTable) -> None:
    told = {name: attribute.values for name, attribute in cells.attributes.items()}
    if told != dict(analysis.attributes):
        raise SlideRefused(Reason.INCONSISTENT, "the attributes of the cells are not those of the model")
    if any(len(attribute) != len(cells) for attribute in cells.attributes.values()):
        raise SlideRefused(Reason.INCONSISTENT, "an attribute is not that of as many cells")


def _insert_analysis(
    warehouse: Warehouse, analysis: AnalysisRecord, cells: CellTable, staged: pa.Table, counted: int, first: Row
) -> None:
    slide = warehouse.row("slide", slide_id=analysis.slide_id)
    if slide is None or slide["um_per_px"] is None:
        raise WarehouseError(f"slide {analysis.slide_id} has no um_per_px: store its ingest first.")
    key = analysis.result_key
    warehouse.run(
        "insert_analysis",
        result_key=key,
        slide_id=analysis.slide_id,
        model_digest=analysis.model_digest,
        config_digest=analysis.config_digest,
        run_id=analysis.run_id,
        fields=len(analysis.fields),
        cells=len(cells),
        counted_cells=counted,
        analysed_um2=analysis.analysed_um2,
        seconds=analysis.seconds,
    )
    warehouse.insert("insert_fields", fields_table(analysis.fields, slide["um_per_px"]), result_key=key)
    warehouse.insert("insert_cells", staged, result_key=key)
    model = analysis.model_digest
    warehouse.run("insert_cell_counts", result_key=key, model_digest=model, first_cell=first["first_cell"])
    if analysis.attributes:
        store_attribute_values(warehouse, analysis.model_digest, analysis.attributes)
        warehouse.insert("insert_attributes", attributes_table(cells), result_key=key)
        begins = {name: first[name] for name in ("first_cell", "first_attribute")}
        warehouse.run("insert_attribute_counts", result_key=key, model_digest=model, **begins)


def _check_analysis(warehouse: Warehouse, analysis: AnalysisRecord, model: Row, counted: int, first: Row) -> None:
    """Compare the rows in the database with the claims of the workers."""
    (stored,) = warehouse.rows(
        "stored_analysis",
        result_key=analysis.result_key,
        taxonomy_digest=model["taxonomy_digest"],
        first_cell=first["first_cell"],
        first_field=first["first_field"],
    )
    attributes = _stored_attributes(warehouse, analysis, first) if analysis.attributes else 0
    faults = (
        (stored["cells"] != analysis.cells, f"{analysis.cells} cells reported, {stored['cells']} arrived"),
        (stored["cell_ids"] != stored["cells"], "a cell's number is there twice"),
        (stored["homeless"] > 0, f"{stored['homeless']} cells lie in no field of the slide"),
        (stored["field_faults"] > 0, f"{stored['field_faults']} fields reported another number of cells"),
        (stored["class_cells"] != stored["cells"], "a cell's class is not in the taxonomy"),
        (attributes != stored["cells"] * len(analysis.attributes), "an attribute is not told of every cell"),
        (stored["counted_cells"] != counted, f"{counted} cells counted, {stored['counted_cells']} stored"),
    )
    for fault, detail in faults:
        if fault:
            raise SlideRefused(Reason.INCONSISTENT, detail)


def _stored_attributes(warehouse: Warehouse, analysis: AnalysisRecord, first: Row) -> int:
    (stored,) = warehouse.rows(
        "stored_attribute_rows",
        result_key=analysis.result_key,
        model_digest=analysis.model_digest,
        first_cell=first["first_cell"],
        first_attribute=first["first_attribute"],
    )
    told: int = stored["attributes"]
    return told


def _check_differential(diagnosis: DiagnosisRecord) -> None:
    inside = [row for row in diagnosis.differential if row.percent is not None]
    cells = sum(row.cells for row in inside)
    if cells != diagnosis.total_cells:
        raise WarehouseError(
            f"the differential of a patient has {cells} cells, its total says {diagnosis.total_cells}; not stored."
        )
    percent = math.fsum(row.percent or 0.0 for row in inside)
    if inside and cells and not abs(percent - 100.0) <= PERCENT_TOLERANCE:
        raise WarehouseError(f"the differential of a patient sums to {percent:.2f} percent; not stored.")


def _insert_diagnosis(warehouse: Warehouse, diagnosis: DiagnosisRecord) -> None:
    warehouse.run(
        "insert_diagnosis",
        diagnosis_key=diagnosis.diagnosis_key,
        patient_key=diagnosis.patient_key,
        run_id=diagnosis.run_id,
        model_digest=diagnosis.model_digest,
        status=diagnosis.status,
        diagnosis=diagnosis.diagnosis,
        probability=diagnosis.probability,
        names=list(diagnosis.probabilities.keys()),
        chances=list(diagnosis.probabilities.values()),
        reasons=list(diagnosis.reasons),
        slides=diagnosis.slides,
        total_cells=diagnosis.total_cells,
        blast_percent=diagnosis.blast_percent,
        blast_low=diagnosis.blast_low,
        blast_high=diagnosis.blast_high,
        me_ratio=diagnosis.me_ratio,
        rule_set=diagnosis.rule_set,
        rule_set_version=diagnosis.rule_set_version,
        diagnosis_model=diagnosis.diagnosis_model,
    )
    warehouse.insert(
        "insert_differential", differential_table(diagnosis.differential), diagnosis_key=diagnosis.diagnosis_key
    )
