"""`marrow verify RUN`: the proof of a result. Reads, computes and compares; writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.reading import open_reading
from flows.settings import load_settings
from marrow_models.bundle import Bundle, shipped_bundles
from marrow_models.bundle_lookup import find_bundle, installed_bundles
from marrow_models.errors import UserError
from tasks.home import Home
from tasks.verify import verify_run
from warehouse.stored import StoredRun, run_like, stored_run

DEFAULT_TARGETS = (500, 0)
"""Numbers of cells to count that are tried where the run's settings are not to be read."""


def verify_report(home: Path, run: str, models: list[str], *, progress: Callable[[str], None]) -> dict[str, Any]:
    """Every row of a past run that is not what the stored slides and its models give today.

    ``run`` is the id of a run, its beginning, or ``latest``. The database is closed before anything is computed, so
    that a run may begin meanwhile.
    """
    plan = load_settings(home=home)
    place = Home(home)
    with open_reading(place) as reading:
        source = reading.source
        stored = stored_run(reading.database, run_like(reading.database, run))
    if stored.state == "running":
        raise UserError(f"Run {stored.run_id} is still going on: verify it when it has ended.")
    settings = stored.settings or {}
    targets = [settings["target_cells"]] if "target_cells" in settings else [plan.target_cells, *DEFAULT_TARGETS]
    done = verify_run(
        stored,
        place,
        _bundles(stored, [*models, plan.models], place.models),
        targets=targets,
        rule_sets=settings.get("rule_sets", plan.rule_sets),
        progress=progress,
    )
    return {
        "run_id": done.run_id,
        "source": source,
        "identical": done.identical,
        "results": done.results,
        "cells": done.cells,
        "suggestions": done.suggestions,
        "differences": [asdict(difference) for difference in done.differences],
        "notes": done.notes,
    }


def _bundles(run: StoredRun, named: list[str], installed: Path) -> dict[str, Bundle]:
    """The models of a run by digest: those named, those of the settings, the shipped ones and the imported ones."""
    wanted = {a.model_digest: f"{a.model} {a.model_version}" for a in run.analyses}
    wanted |= {str(d.row["model_digest"]): "the models of a suggestion" for d in run.diagnoses} | wanted
    found: dict[str, Bundle] = {}
    for name in dict.fromkeys([*named, *shipped_bundles(), *installed_bundles(installed)]):
        if wanted.keys() <= found.keys():
            break
        bundle = find_bundle(name, installed)
        found[bundle.digest] = bundle
    missing = [f"{name} ({digest[:12]})" for digest, name in wanted.items() if digest not in found]
    if missing:
        raise UserError(f"The models of the run are not here: {', '.join(missing)}. Name their folder with --models.")
    return found
