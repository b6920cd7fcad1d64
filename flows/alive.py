"""Which flow runs have a living process: each holds a lock of the operating system, which dies with it.

Neither a heartbeat nor a process number can say this: the first comes late or never, the second is used again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from marrow_models.errors import WarehouseHeld
from tasks.home import Home
from warehouse.writer_lock import writer_lock


class Life(StrEnum):
    """What is known of the process of a flow run."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"
    """It left no trace: not begun yet, ended in order, or killed before it could begin."""


@contextmanager
def alive(home: Home, flow_run_id: str | None) -> Iterator[None]:
    """Hold the sign of life of a flow run while the block runs; none without a flow run."""
    if flow_run_id is None:
        yield
        return
    home.alive.mkdir(parents=True, exist_ok=True)
    path = home.alive / flow_run_id
    with writer_lock(path):
        yield
        path.unlink(missing_ok=True)


def life_of(home: Home, flow_run_id: str) -> Life:
    """Whether the process of a flow run lives; only true for processes of this machine."""
    path = home.alive / flow_run_id
    if not path.is_file():
        return Life.UNKNOWN
    try:
        with writer_lock(path):
            return Life.DEAD
    except WarehouseHeld:
        return Life.ALIVE


def forget(home: Home, flow_run_id: str) -> None:
    """Remove the sign of a run that is dead and dealt with."""
    (home.alive / flow_run_id).unlink(missing_ok=True)
