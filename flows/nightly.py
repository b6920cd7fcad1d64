"""The system at a glance: what happens to slides at night, and the parts of it that can be run alone.

    discover -> for each slide: ingest -> survey -> detect and classify -> validate -> load
             -> diagnose -> validate the night -> publish

Every step named here is a module of ``tasks/``. A step of the night is a Prefect task run; the steps of a slide are one
task run together, whose log tells them, and its fields are plain Dask futures inside one of them.
Parameters that are not given come from the settings (``flows/settings.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import State, flow
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.missed import caught_up
from flows.opening import open_night
from flows.result import NightResult
from flows.settings import load_settings
from tasks.analyse import detect_and_classify
from tasks.diagnose import diagnose_patients
from tasks.discover import discover_slides, stored_slides
from tasks.ingest import ingest_slide, read_receipt
from tasks.load import has_result, load_cells
from tasks.night import Night, Slide
from tasks.publish import publish_warehouse
from tasks.release import release_slides, slides_not_in_the_inbox
from tasks.stage import for_each, slide_task
from tasks.survey import survey_slide
from tasks.validate import validate_cells, validate_manifest, validate_night
from warehouse.ledger import State as SlideState

RUNNER: Any = ThreadPoolTaskRunner(max_workers=256)
"""Threads only wait for workers; how many slides are on their way is bounded by ``for_each``."""


@slide_task("take through")
def take_through(night: Night, slide: Slide) -> None:
    """One slide from its file to rows in the warehouse."""
    if not has_result(night, slide):
        ingest_slide(night, slide.slide_id, slide)
        count_cells(night, slide)
    night.enter(slide.slide_id, SlideState.DONE)


@slide_task("ingest only")
def ingest_only(night: Night, slide: Slide) -> None:
    """One slide from its file to its store."""
    ingest_slide(night, slide.slide_id, slide)


@slide_task("analyse again")
def analyse_again(night: Night, slide: Slide) -> None:
    """One stored slide to rows in the warehouse, with the models of this run."""
    if not has_result(night, slide):
        night.enter(slide.slide_id, SlideState.INGESTED)
        count_cells(night, slide)
    night.enter(slide.slide_id, SlideState.DONE)


def count_cells(night: Night, slide: Slide) -> None:
    """A stored slide to rows in the warehouse."""
    slide_id = slide.slide_id
    store = read_receipt(night, slide_id)
    survey = survey_slide(night, slide_id)
    found = detect_and_classify(night, slide_id, store, survey)
    validate_cells(night, slide_id, store, found)
    load_cells(night, slide_id, store, found)


@flow(name="nightly", task_runner=RUNNER, persist_result=False)
def nightly(
    home: Path | None = None,
    inbox: Path | None = None,
    manifest: Path | None = None,
    models: str | None = None,
    cluster: str | None = None,
    target_cells: int | None = None,
    trigger: str = "manual",
) -> State[NightResult] | State[None]:
    """All of it: from the slides in the inbox to what analysts query."""
    plan = load_settings(
        home=home, inbox=inbox, manifest=manifest, models=models, cluster=cluster, target_cells=target_cells
    )
    if caught_up(plan.home, trigger):
        return Completed(name="CaughtUp", message="A later night has done this one's work.", data=None)
    with open_night(plan, trigger) as (night, result):
        slides = discover_slides(night, validate_manifest(night))
        for_each(night, take_through, slides)
        diagnose_patients(night)
        validate_night(night)
        result.published = publish_warehouse(night).path
    return final_state(result)


@flow(name="ingest", task_runner=RUNNER, persist_result=False)
def ingest(
    home: Path | None = None,
    inbox: Path | None = None,
    manifest: Path | None = None,
    cluster: str | None = None,
    trigger: str = "manual",
) -> State[NightResult]:
    """Bring the slides of the inbox into OME-Zarr; count and publish nothing."""
    plan = load_settings(home=home, inbox=inbox, manifest=manifest, cluster=cluster)
    with open_night(plan, trigger) as (night, result):
        for_each(night, ingest_only, discover_slides(night, validate_manifest(night)))
    return final_state(result)


@flow(name="analyse", task_runner=RUNNER, persist_result=False)
def analyse(
    home: Path | None = None,
    slides: list[str] | None = None,
    models: str | None = None,
    cluster: str | None = None,
    target_cells: int | None = None,
    trigger: str = "backfill",
) -> State[NightResult]:
    """Back-fill: analyse all or some (``slides``) ingested slides, with another model bundle if one is named."""
    plan = load_settings(home=home, models=models, cluster=cluster, target_cells=target_cells)
    with open_night(plan, trigger) as (night, result):
        for_each(night, analyse_again, stored_slides(night, slides))
        diagnose_patients(night)
        validate_night(night)
        result.published = publish_warehouse(night).path
    return final_state(result)


@flow(name="retry", task_runner=RUNNER, persist_result=False)
def retry(
    home: Path | None = None,
    slides: list[str] | None = None,
    inbox: Path | None = None,
    manifest: Path | None = None,
    models: str | None = None,
    cluster: str | None = None,
    target_cells: int | None = None,
    trigger: str = "retry",
) -> State[NightResult]:
    """Let ``slides`` out of quarantine and try them now: from the inbox, or from their stores where it has them not."""
    plan = load_settings(
        home=home, inbox=inbox, manifest=manifest, models=models, cluster=cluster, target_cells=target_cells
    )
    with open_night(plan, trigger) as (night, result):
        wanted = release_slides(night, slides or [])
        if plan.inbox is not None:
            for_each(night, take_through, discover_slides(night, validate_manifest(night), only=wanted))
        for_each(night, analyse_again, slides_not_in_the_inbox(night, wanted))
        diagnose_patients(night)
        validate_night(night, all_may_fail=True)
        result.published = publish_warehouse(night).path
    return final_state(result)


@flow(name="publish", task_runner=RUNNER, persist_result=False)
def publish(home: Path | None = None, models: str | None = None, trigger: str = "manual") -> State[NightResult]:
    """Diagnose from what is loaded and publish it again; read no slide."""
    plan = load_settings(home=home, models=models)
    with open_night(plan, trigger) as (night, result):
        diagnose_patients(night)
        validate_night(night, least_discovered=0)
        result.published = publish_warehouse(night).path
    return final_state(result)


def final_state(result: NightResult) -> State[NightResult]:
    """How the flow run ends in Prefect: failed nights are failed, and quarantine can be seen from afar."""
    if result.failure:
        return Failed(name="NightStopped" if result.exit_code else "NightFailed", message=result.failure, data=result)
    counts = f"{result.done} done, {result.quarantined} in quarantine, {result.deferred} deferred"
    if result.quarantined:
        return Completed(name="CompletedWithQuarantine", message=counts, data=result)
    return Completed(message=counts, data=result)
