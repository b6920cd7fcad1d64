"""Stages of a slide that do nothing, with all that a real one has around it: task run, log, ledger, work on Dask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from flows.cluster import open_cluster
from tasks.night import Night, Slide
from tasks.plan import NightPlan
from tasks.stage import for_each, slide_stage, slide_task
from tests.benchmarks.nights import a_night
from warehouse.ledger import State


def nothing(number: int) -> int:
    """What a worker does."""
    return number


@slide_stage("ingest", enters=State.INGESTED)
def ingest(night: Night, slide_id: str) -> None:
    night.workers.call(f"ingest-{slide_id}", nothing, 1)


@slide_stage("survey", enters=State.SURVEYED)
def survey(night: Night, slide_id: str) -> None:
    night.workers.call(f"survey-{slide_id}", nothing, 2)


@slide_stage("detect and classify", enters=State.ANALYSED)
def detect_and_classify(night: Night, slide_id: str) -> None:
    for group in range(3):
        night.workers.call(f"fields-{slide_id}-{group}", nothing, group)


@slide_stage("validate", enters=State.VALIDATED)
def validate(night: Night, slide_id: str) -> None:
    """In the flow's process."""


@slide_stage("load", enters=State.LOADED)
def load(night: Night, slide_id: str) -> None:
    """In the flow's process."""


@slide_task("take through")
def take_through(night: Night, slide: Slide) -> None:
    for stage in (ingest, survey, detect_and_classify, validate, load):
        stage(night, slide.slide_id)
    night.enter(slide.slide_id, State.DONE)


def take(night: Night, name: str, slides: int) -> None:
    """Take so many slides through, each in the ledger as discovered before."""
    found = [Slide(f"{name}-{number}") for number in range(slides)]
    for slide in found:
        night.enter(slide.slide_id, State.DISCOVERED)
    for_each(night, take_through, found)


@contextmanager
def without_work(plan: NightPlan) -> Iterator[Night]:
    """A night with real workers."""
    with a_night(plan) as night, open_cluster(plan, night.home) as workers:
        yield replace(night, connect=lambda: workers)
