"""Reading for the flows and the command line: small typed answers, from the warehouse or the published file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from warehouse.clock import aware_utc, naive_utc

if TYPE_CHECKING:
    from datetime import datetime

    from warehouse.connection import Database, Row, Warehouse


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as stored. Counts are None while it runs."""

    run_id: str
    started_at: datetime
    finished_at: datetime | None
    state: str
    trigger: str
    code_version: str
    discovered: int | None
    done: int | None
    quarantined: int | None
    deferred: int | None


@dataclass(frozen=True, slots=True)
class NightRow:
    """What a run did with one slide."""

    slide_id: str
    patient_id: str | None
    state: str
    reason: str | None
    attempt: int
    fields: int | None
    cells: int | None
    counted_cells: int | None
    unchanged: bool
    seconds: float | None


@dataclass(frozen=True, slots=True)
class SlideRow:
    """A slide and its latest state."""

    slide_id: str
    patient_id: str | None
    state: str
    reason: str | None
    specimen: str | None
    format: str | None
    um_per_px: float | None
    changed_at: datetime
    run_id: str


@dataclass(frozen=True, slots=True)
class PatientRow:
    """A patient's current suggestion. For Research Use Only. Not for use in diagnostic procedures."""

    patient_id: str
    status: str
    diagnosis: str | None
    probability: float | None
    reasons: tuple[str, ...]
    slides: int
    total_cells: int
    blast_percent: float | None
    blast_low: float | None
    blast_high: float | None
    me_ratio: float | None


@dataclass(frozen=True, slots=True)
class StoredResult:
    """An analysis that is in the warehouse."""

    result_key: str
    is_current: bool
    cells: int
    counted_cells: int


@dataclass(frozen=True, slots=True)
class PatientCounts:
    """The cells of a patient's slides of one specimen, counted together."""

    patient_key: str
    specimen: str
    result_keys: tuple[str, ...]
    """One for each slide, sorted: they identify what was counted."""
    counts: dict[str, int]
    """Class to cells, every class of the model, in the order of its labels."""


def finished_since(database: Database, trigger: str, since: datetime) -> bool:
    """Whether a run of this trigger that began at or after ``since`` came to a good end."""
    return database.row("finished_since", trigger=trigger, since=naive_utc(since)) is not None


def latest_run(database: Database) -> RunRow | None:
    """The run that started last, None before the first."""
    row = database.row("latest_run")
    return _run(row) if row else None


def run_of(database: Database, run_id: str) -> RunRow | None:
    """A run by its id."""
    row = database.row("run", run_id=run_id)
    return _run(row) if row else None


def night_table(database: Database, run_id: str) -> list[NightRow]:
    """What a run did, one row a slide, in the order of the slide ids."""
    return [NightRow(**row) for row in database.rows("night_table", run_id=run_id)]


def slide_states(database: Database) -> list[SlideRow]:
    """Every slide with its latest state, the one that changed last first."""
    return [SlideRow(**(row | {"changed_at": aware_utc(row["changed_at"])})) for row in database.rows("slide_states")]


def patient_table(database: Database) -> list[PatientRow]:
    """Every patient's current suggestion, in the order of the keyed ids."""
    return [PatientRow(**(row | {"reasons": tuple(row["reasons"])})) for row in database.rows("patient_table")]


def known_slide(warehouse: Warehouse, fingerprint: str) -> str | None:
    """The slide that a file with this fingerprint holds, None for a file that was never hashed."""
    row = warehouse.row("known_slide", fingerprint=fingerprint)
    return str(row["slide_id"]) if row else None


def is_stored(database: Database, result_key: str) -> bool:
    """Whether the warehouse has a result."""
    return database.row("analysis", result_key=result_key) is not None


def first_seen_at(database: Database, slide_id: str) -> datetime | None:
    """When a slide was first seen, None for a new one."""
    row = database.row("slide", slide_id=slide_id)
    return aware_utc(row["first_seen_at"]) if row else None


def stored_result(database: Database, slide_id: str, model_digest: str, config_digest: str) -> StoredResult | None:
    """The analysis of a slide by a model with a configuration, None when it was never made.

    Where it is not current (a later model was tried and given up), :func:`warehouse.load.make_current` makes it so.
    """
    row = database.row("stored_result", slide_id=slide_id, model_digest=model_digest, config_digest=config_digest)
    return StoredResult(**row) if row else None


def patients_of_run(database: Database, run_id: str) -> tuple[str, ...]:
    """The patients of whom the run met a slide, whatever became of it, sorted."""
    return tuple(row["patient_key"] for row in database.rows("patients_of_run", run_id=run_id))


def pooled_counts(database: Database, patient_key: str, model_digest: str) -> tuple[PatientCounts, ...]:
    """A patient's cells by class over the current analyses by one model, one item a specimen.

    Slides in quarantine take no part. Empty when no slide of the patient has such an analysis.
    """
    pooled: dict[str, PatientCounts] = {}
    for row in database.rows("pooled_counts", patient_key=patient_key, model_digest=model_digest):
        counts = pooled.setdefault(
            row["specimen"], PatientCounts(patient_key, row["specimen"], tuple(row["result_keys"]), {})
        )
        counts.counts[row["cell_class"]] = row["cells"]
    return tuple(pooled.values())


def pooled_counts_of_all(database: Database, model_digest: str) -> dict[str, tuple[PatientCounts, ...]]:
    """:func:`pooled_counts` of every patient who has an analysis by one model, by the patient's key."""
    pooled: dict[str, tuple[PatientCounts, ...]] = {}
    for row in database.rows("pooled_counts_of_all", model_digest=model_digest):
        patient = row["patient_id"]
        counts = dict(zip(row["classes"], row["cells"], strict=True))
        one = PatientCounts(patient, row["specimen"], tuple(row["result_keys"]), counts)
        pooled[patient] = (*pooled.get(patient, ()), one)
    return pooled


def _run(row: Row) -> RunRow:
    finished = row["finished_at"]
    return RunRow(
        row["run_id"],
        aware_utc(row["started_at"]),
        aware_utc(finished) if finished else None,
        row["state"],
        row["trigger"],
        row["code_version"],
        row["discovered"],
        row["done"],
        row["quarantined"],
        row["deferred"],
    )


@dataclass(frozen=True, slots=True)
class AnalysedPatient:
    """A patient with counted slides."""

    patient_key: str
    age_years: float | None


@dataclass(frozen=True, slots=True)
class DifferentialEntry:
    """One category of a patient's current differential."""

    patient_id: str
    category: str
    cells: int
    percent: float | None
    low: float | None
    high: float | None


Rectangle = tuple[float, float, float, float]


def patients_with_analyses(database: Database, model_digest: str) -> list[AnalysedPatient]:
    """The patients of whom a slide was counted by a model, in the order of their keys."""
    return [AnalysedPatient(**row) for row in database.rows("patients_with_analyses", model_digest=model_digest)]


def slide_um_per_px(database: Database, slide_id: str) -> float | None:
    """The scale at which a slide was read, None before its first analysis."""
    row = database.row("slide", slide_id=slide_id)
    return None if row is None else row["um_per_px"]


def differential_table(database: Database) -> list[DifferentialEntry]:
    """Every patient's current differential."""
    return [DifferentialEntry(**row) for row in database.rows("differential_table")]


def cell_boxes(database: Database, slide_id: str) -> list[tuple[float, Rectangle]]:
    """The current cells of a slide: detection score and box (left, top, right, bottom) in um."""
    return [
        (
            row["detection_score"],
            (
                row["x_um"] - row["width_um"] / 2,
                row["y_um"] - row["height_um"] / 2,
                row["x_um"] + row["width_um"] / 2,
                row["y_um"] + row["height_um"] / 2,
            ),
        )
        for row in database.rows("cell_boxes", slide_id=slide_id)
    ]


def field_rects_um(database: Database, slide_id: str) -> list[Rectangle]:
    """The fields of a slide's current analysis: left, top, width, height in um."""
    return [
        (row["x_um"], row["y_um"], row["width_um"], row["height_um"])
        for row in database.rows("field_rects", slide_id=slide_id)
    ]


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Where the time of a run went, in seconds."""

    covered: float
    """Time in which at least one stage was at work."""
    by_stage: dict[str, float]
    """Sum over slides; stages of different slides run beside each other."""


def stage_times(database: Database, run_id: str) -> StageTimes:
    """What the stages of a run took."""
    by_stage: dict[str, float] = {}
    covered, reached = 0.0, float("-inf")
    for row in database.rows("stage_times", run_id=run_id):
        by_stage[row["stage"]] = by_stage.get(row["stage"], 0.0) + row["seconds"]
        begins = aware_utc(row["started_at"]).timestamp()
        ends = begins + row["seconds"]
        covered += max(0.0, ends - max(begins, reached))
        reached = max(reached, ends)
    return StageTimes(covered, by_stage)
