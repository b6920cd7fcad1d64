"""A night as its stages see it, on a real warehouse, without workers: whatever would read pixels fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marrow_models.bundle import load_bundle
from marrow_models.model_settings import ANALYSIS_VERSION
from tasks.home import Home
from tasks.night import Night
from tasks.plan import NightPlan
from tasks.progress import Broadcast
from tasks.pseudonym import load_pseudonyms
from tests.unit.store_house.factories import run_record
from warehouse.connection import open_warehouse
from warehouse.runs import RunState, finish_run, start_run


def no_pixels():
    raise AssertionError("no slide is to be read here")


@contextmanager
def begun(root: Path, run_id: str, *, models: str = "phantom", **plan: object) -> Iterator[Night]:
    """The run ``run_id`` on HOME ``root/home`` with the inbox ``root/inbox``; ended as it should be."""
    home = Home(root / "home").create()
    settings = NightPlan(home=home.root, inbox=root / "inbox", settle_s=0, models=models, **plan)
    with open_warehouse(home.warehouse) as warehouse:
        start_run(warehouse, run_record(run_id))
        yield Night(
            run_id=run_id,
            trigger="manual",
            plan=settings,
            home=home,
            warehouse=warehouse,
            pseudonyms=load_pseudonyms(home.default_key_file),
            bundle=load_bundle(models),
            connect=no_pixels,
            progress=Broadcast(),
            gates=no_pixels,
            analysis_version=ANALYSIS_VERSION,
        )
        finish_run(warehouse, run_id, RunState.DONE_WITH_QUARANTINE)
