"""What a past run stored, read whole, so that it can be computed again and compared row by row."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marrow_models.errors import UserError
from warehouse.read import PatientCounts, pooled_counts, run_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from warehouse.connection import Database


@dataclass(frozen=True, slots=True)
class StoredAnalysis:
    """One analysis with all of its rows."""

    result_key: str
    slide_id: str
    run_id: str
    """The run that made it."""
    model_digest: str
    config_digest: str
    fields: int
    cells: int
    counted_cells: int
    analysed_um2: float
    model: str | None
    model_version: str | None
    field_rows: pa.Table
    cell_rows: pa.Table
    """By (y_um, x_um), which is the order of ``cell_id``."""
    attribute_rows: pa.Table


@dataclass(frozen=True, slots=True)
class StoredDiagnosis:
    """One suggestion with its differential, and what it rests on now."""

    row: Mapping[str, Any]
    """The columns of ``fact_patient_diagnosis``."""
    age_years: float | None
    differential: tuple[Mapping[str, Any], ...]
    counts: tuple[PatientCounts, ...]
    """The patient's current counts, one item a specimen."""
    counts_of: Mapping[str, Mapping[str, int]]
    """Of each result among them: class to cells."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run and everything it stored."""

    run_id: str
    state: str
    settings: Mapping[str, Any] | None
    """The settings it ran with; None in what was read from the published file."""
    analyses: tuple[StoredAnalysis, ...]
    diagnoses: tuple[StoredDiagnosis, ...]


def run_like(database: Database, prefix: str) -> str:
    """The one run whose id begins with ``prefix``; ``latest`` is the last one. UserError for none and for several."""
    found = [str(row["run_id"]) for row in database.rows("runs_like", prefix="" if prefix == "latest" else prefix)]
    if found and prefix == "latest":
        return found[-1]
    if len(found) == 1 or prefix in found:
        return prefix if prefix in found else found[0]
    if not found:
        raise UserError(f"No run is called {prefix!r}. The view `runs` of the published file lists them.")
    raise UserError(f"{prefix!r} fits {len(found)} runs: {', '.join(found[:5])}. Give more of the id.")


def stored_run(database: Database, run_id: str) -> StoredRun:
    """A run with all rows of its results. UserError when it is not known."""
    run, row = run_of(database, run_id), database.row("run", run_id=run_id)
    if run is None or row is None:
        raise UserError(f"No run is called {run_id!r}.")
    settings = json.loads(row["settings"]) if row["settings"] else None
    chosen = {name: (settings or {}).get(name) for name in ("model_digest", "config_digest")}
    analyses = [
        StoredAnalysis(
            **found,
            field_rows=database.table("stored_fields", result_key=found["result_key"]),
            cell_rows=database.table("stored_cells", result_key=found["result_key"]),
            attribute_rows=database.table("stored_attributes", result_key=found["result_key"]),
        )
        for found in database.rows("results_of_run", run_id=run_id, **chosen)
    ]
    diagnoses = [_diagnosis(database, found) for found in database.rows("diagnoses_of_run", run_id=run_id)]
    return StoredRun(run_id, run.state, settings, tuple(analyses), tuple(diagnoses))


def _diagnosis(database: Database, row: dict[str, Any]) -> StoredDiagnosis:
    counts = pooled_counts(database, row["patient_key"], row["model_digest"])
    return StoredDiagnosis(
        {name: value for name, value in row.items() if name != "age_years"},
        row["age_years"],
        tuple(database.rows("stored_differential", diagnosis_key=row["diagnosis_key"])),
        counts,
        {key: _class_counts(database, key) for pooled in counts for key in pooled.result_keys},
    )


def _class_counts(database: Database, result_key: str) -> dict[str, int]:
    return {row["cell_class"]: row["cells"] for row in database.rows("class_counts", result_key=result_key)}
