"""Records that the warehouse takes in: frozen, already keyed, free of names, paths and pixels.

A ``patient_key`` is the HMAC-SHA256 (hex) of the laboratory's patient id, made by the caller with a
key that the warehouse never sees. A ``slide_id`` comes from the slide's content. Times are aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from marrow_models.records import Field, ManifestRow
    from marrow_models.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A night (or a run by hand) as it starts."""

    run_id: str
    started_at: datetime
    trigger: str
    """``schedule``, ``manual``, ``retry``, ``backfill``, ``demo``."""
    code_version: str
    settings: Mapping[str, object] = field(default_factory=dict)
    """The settings in force, without paths and secrets; never published."""


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """What is known of a patient apart from the slides."""

    patient_key: str
    age_years: float | None = None
    sex: str | None = None
    laboratory: tuple[tuple[str, float], ...] = ()
    """(name, value) of the manifest's laboratory columns."""

    @staticmethod
    def of(patient_key: str, rows: tuple[ManifestRow, ...]) -> PatientRecord:
        """The patient of several manifest rows: the first value given wins, in the order of the rows."""
        laboratory: dict[str, float] = {}
        for row in rows:
            for name, value in row.laboratory:
                laboratory.setdefault(name, value)
        return PatientRecord(
            patient_key,
            next((row.age_years for row in rows if row.age_years is not None), None),
            next((row.sex for row in rows if row.sex is not None), None),
            tuple(sorted(laboratory.items())),
        )


@dataclass(frozen=True, slots=True)
class SlideRecord:
    """A slide. What only its ingest tells is None until then; storing None never erases a known value."""

    slide_id: str
    patient_key: str | None
    first_seen_at: datetime
    size_bytes: int | None = None
    specimen: str | None = None
    stain: str | None = None
    format: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    um_per_px: float | None = None
    objective_power: float | None = None
    missing_um2: float | None = None
    """Area of level 0 that does not decode."""
    unscanned_um2: float | None = None
    """Area of level 0 that the scanner left out."""


@dataclass(frozen=True, slots=True)
class CellClassRecord:
    """One label of a taxonomy."""

    label: str
    title: str
    code: str | None
    code_system: str | None
    category: str | None
    """ICSH category, None where the class belongs to none."""
    lineage: str | None
    in_differential: bool
    in_me: str | None = None
    """``M``, ``E`` or None."""
    excluded_as: str | None = None
    """Heading under which a class outside the differential is reported."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model bundle and the taxonomy that gives its labels their meaning."""

    digest: str
    name: str
    version: str
    detector_digest: str
    classifier_digest: str
    labels: tuple[str, ...]
    """The K labels of the classifier, in the order of its outputs."""
    taxonomy_name: str
    taxonomy_version: str
    taxonomy_digest: str
    classes: tuple[CellClassRecord, ...]
    """Every label of the taxonomy."""
    licence: str | None = None

    @staticmethod
    def classes_of(taxonomy: Taxonomy) -> tuple[CellClassRecord, ...]:
        """The classes of a loaded taxonomy as the warehouse stores them."""
        return tuple(
            CellClassRecord(
                label=c.label,
                title=c.title,
                code=c.code,
                code_system=c.code_system,
                category=c.category,
                lineage=c.lineage,
                in_differential=c.in_differential,
                in_me=c.in_me,
                excluded_as=c.excluded_as,
            )
            for c in taxonomy.classes
        )


@dataclass(frozen=True, slots=True)
class FieldRecord:
    """A field that was analysed and how many cells the worker says it found there."""

    field: Field
    found: int


@dataclass(frozen=True, slots=True)
class AnalysisRecord:
    """One analysis of one slide. ``cells`` and ``fields`` are the workers' claims; the load checks them."""

    result_key: str
    """Digest over slide content, model digests and configuration; the same key is stored once."""
    slide_id: str
    model_digest: str
    config_digest: str
    run_id: str
    cells: int
    analysed_um2: float
    seconds: float
    fields: tuple[FieldRecord, ...]
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Morphology attributes that the model tells of every cell: name to values, in the order of its outputs."""


@dataclass(frozen=True, slots=True)
class DifferentialRow:
    """One category of a patient's differential with its 95 % Wilson interval, all in percent."""

    category: str
    cells: int
    percent: float | None
    """None for a category outside the denominator, such as erythroblasts in blood."""
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class DiagnosisRecord:
    """A suggestion for one patient and the differential that it rests on."""

    diagnosis_key: str
    """Digest over the result keys of the patient's slides, the rule set and the diagnosis model."""
    patient_key: str
    run_id: str
    model_digest: str
    """The bundle that counted the cells."""
    status: str
    """``suggested`` or ``insufficient``."""
    diagnosis: str | None
    probability: float | None
    probabilities: Mapping[str, float]
    reasons: tuple[str, ...]
    slides: int
    total_cells: int
    """Cells in the denominator of the differential."""
    blast_percent: float | None
    blast_low: float | None
    blast_high: float | None
    me_ratio: float | None
    rule_set: str
    rule_set_version: str
    diagnosis_model: str | None
    """Digest of the scikit-learn model, None where rules alone spoke."""
    differential: tuple[DifferentialRow, ...]


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage took for one slide (``slide_id`` None: for the whole run)."""

    run_id: str
    slide_id: str | None
    stage: str
    started_at: datetime
    seconds: float
    """By the monotonic clock."""


@dataclass(frozen=True, slots=True)
class LoadReceipt:
    """What a load did."""

    key: str
    """The result key or the diagnosis key."""
    stored: bool
    """False where the key was there already and nothing was written."""
    cells: int
    counted_cells: int
    """Cells whose class is in the differential."""
