"""`marrow status`: the latest run and the state of every slide, read without disturbing a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from marrow_models.errors import UserError
from tasks.home import Home
from warehouse import read
from warehouse.connection import Database
from warehouse.published import open_published


def status_report(home: Path) -> dict[str, Any]:
    """The latest run, every slide with its latest state, and every patient's suggestion.

    Read from what is published: the warehouse itself belongs to the run that may be going on.
    """
    place = Home(home)
    published = place.published / "marrow.duckdb"
    if not published.is_file():
        raise UserError(f"Nothing is published under {home} yet. Run: marrow run --inbox FOLDER --home {home}")
    with open_published(published) as database:
        return _report(database)


def _report(database: Database) -> dict[str, Any]:
    run = read.latest_run(database)
    title = f"Run {run.run_id}: {run.state}, started {run.started_at:%Y-%m-%d %H:%M} UTC" if run else "No run yet"
    return {
        "title": title,
        "run": asdict(run) if run else None,
        "slides": [asdict(row) for row in read.slide_states(database)],
        "patients": [asdict(row) for row in read.patient_table(database)],
    }
