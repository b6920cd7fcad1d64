"""Survey: where, at low power, nucleated cells lie in a readable monolayer."""

from __future__ import annotations

from pathlib import Path

from marrow_models.bundle import load_exactly
from marrow_models.pyramid.store import Pyramid
from marrow_models.survey import Survey, survey
from tasks.night import Night
from tasks.stage import slide_stage
from warehouse.ledger import State


@slide_stage("survey", enters=State.SURVEYED)
def survey_slide(night: Night, slide_id: str) -> Survey:
    """The fields of an ingested slide, best first."""
    key = f"survey-{slide_id}-{night.bundle.digest[:16]}"
    result: Survey = night.workers.call(
        key, survey_store, night.home.store(slide_id), night.bundle.path, night.bundle.digest
    )
    return result


def survey_store(store: Path, bundle_path: Path, bundle_digest: str) -> Survey:
    """On a worker: survey the store at ``store``."""
    return survey(Pyramid.open(store), load_exactly(bundle_path, bundle_digest))
