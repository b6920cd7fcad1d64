"""Missed nights: after a server was away, Prefect starts every night that it missed. The first catches up for all."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from prefect.runtime import flow_run

from marrow_models.errors import WarehouseError
from tasks.home import Home
from warehouse import read
from warehouse.published import open_published

SCHEDULE = "schedule"


def caught_up(home: Path, trigger: str) -> bool:
    """Whether this scheduled run is late, and a scheduled night that began after its time came to a good end."""
    # Prefect gives the present moment outside of a flow run, and the planned one within.
    planned: Any = flow_run.scheduled_start_time
    return trigger == SCHEDULE and isinstance(planned, datetime) and has_night_since(home, planned)


def has_night_since(home: Path, planned: datetime) -> bool:
    """Whether a scheduled night that began at or after ``planned`` was published."""
    published = Home(home).published / "marrow.duckdb"
    if not published.is_file():
        return False
    try:
        with open_published(published) as database:
            return read.finished_since(database, SCHEDULE, planned)
    except WarehouseError:  # of another Marrow, or damaged: the night publishes it anew
        return False
