"""Dimensions: patients, slides, models and known files. Storing the same again changes no row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marrow_models.errors import WarehouseError
from warehouse.clock import naive_utc, utc_now
from warehouse.staging import attribute_values_table, classes_table, laboratory_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from warehouse.connection import Warehouse
    from warehouse.records import ModelRecord, PatientRecord, SlideRecord


def store_patient(warehouse: Warehouse, patient: PatientRecord) -> None:
    """Store or update a patient; a value that is not given erases none."""
    with warehouse.transaction():
        warehouse.run("upsert_patient", patient_key=patient.patient_key, age_years=patient.age_years, sex=patient.sex)
        warehouse.insert("upsert_laboratory", laboratory_table(patient.laboratory), patient_key=patient.patient_key)


def store_slide(warehouse: Warehouse, slide: SlideRecord) -> None:
    """Store or update a slide; a value that is not given erases none, and ``first_seen_at`` stays the first."""
    with warehouse.transaction():
        warehouse.run(
            "upsert_slide",
            slide_id=slide.slide_id,
            patient_key=slide.patient_key,
            specimen=slide.specimen,
            stain=slide.stain,
            format=slide.format,
            width_px=slide.width_px,
            height_px=slide.height_px,
            um_per_px=slide.um_per_px,
            objective_power=slide.objective_power,
            missing_um2=slide.missing_um2,
            unscanned_um2=slide.unscanned_um2,
            size_bytes=slide.size_bytes,
            first_seen_at=naive_utc(slide.first_seen_at),
        )


def store_model(warehouse: Warehouse, model: ModelRecord) -> None:
    """Store a model bundle and its taxonomy. WarehouseError when the taxonomy lacks one of its labels."""
    unknown = sorted(set(model.labels) - {c.label for c in model.classes})
    if unknown:
        raise WarehouseError(
            f"model {model.name} {model.version}: {', '.join(unknown)} is not in taxonomy {model.taxonomy_name}."
        )
    with warehouse.transaction():
        warehouse.insert(
            "insert_cell_classes",
            classes_table(model.classes),
            taxonomy_digest=model.taxonomy_digest,
            taxonomy_name=model.taxonomy_name,
            taxonomy_version=model.taxonomy_version,
        )
        warehouse.run(
            "upsert_model",
            digest=model.digest,
            name=model.name,
            version=model.version,
            detector_digest=model.detector_digest,
            classifier_digest=model.classifier_digest,
            labels=list(model.labels),
            taxonomy_name=model.taxonomy_name,
            taxonomy_version=model.taxonomy_version,
            taxonomy_digest=model.taxonomy_digest,
            licence=model.licence,
        )


def store_attribute_values(warehouse: Warehouse, model_digest: str, values: Mapping[str, tuple[str, ...]]) -> None:
    """Store what a model can tell of a cell's morphology: attribute to values.

    WarehouseError when other attributes or values are stored for the model: a digest stands for one bundle.
    """
    with warehouse.transaction():
        if not warehouse.row("attribute_values", model_digest=model_digest):
            warehouse.insert("insert_attribute_values", attribute_values_table(values), model_digest=model_digest)
        rows = warehouse.rows("attribute_values", model_digest=model_digest)
        if [(row["attribute"], row["value"]) for row in rows] != [(a, v) for a, names in values.items() for v in names]:
            raise WarehouseError("the model of an analysis is stored with other attributes: install its bundle again.")


def remember_file(warehouse: Warehouse, fingerprint: str, slide_id: str, *, at: datetime | None = None) -> None:
    """Store which slide a file holds. ``fingerprint`` is a keyed hash of its name, size and time of change."""
    warehouse.run("upsert_known_file", fingerprint=fingerprint, slide_id=slide_id, seen_at=naive_utc(at or utc_now()))
