"""Many slides whose stages do nothing, with the real Prefect server, flow and Dask workers: orchestration is left."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from flows.prefect_server import embedded_server
from flows.settings import load_settings, prepare_prefect

WARM = 20
"""Slides before the clock starts: connections are open then, and what is imported late is there."""
SETTLES_S = 7.0
"""Prefect's server writes what it was told at the latest after five seconds."""


def orchestrated(slides: Sequence[int], home: str) -> dict[str, Any]:
    """CPU seconds a slide by role for each number of ``slides``, one after the other; what Prefect knows at the end."""
    place = Path(home)
    wanted = prepare_prefect(place)
    with embedded_server(wanted=wanted) as ready:
        from prefect import flow

        from tests.benchmarks.empty_stages import take, without_work

        ready()

        @flow(name="empty", persist_result=False)
        def empty() -> list[dict[str, float]]:
            with without_work(load_settings(home=place, cluster="local:1")) as night:
                take(night, "warm", WARM)
                return [_costs(night, f"of {number}", number) for number in slides]

        def _costs(night: Any, name: str, number: int) -> dict[str, float]:
            time.sleep(SETTLES_S)
            before, began = _cpu(), time.monotonic()
            take(night, name, number)
            wall_s = time.monotonic() - began
            time.sleep(SETTLES_S)
            return {role: (cpu_s - before[role]) / number for role, cpu_s in _cpu().items()} | {"wall": wall_s / number}

        costs = empty()
    return {"costs": costs, "runs": _runs(Path(os.environ["PREFECT_HOME"]))}


def _cpu() -> dict[str, float]:
    """CPU seconds of this process, of Prefect's server and of Dask's workers so far."""
    flow = psutil.Process()
    sums = {"flow": sum(flow.cpu_times()[:2]), "server": 0.0, "workers": 0.0}
    for child in flow.children(recursive=True):
        role = "server" if "flows.prefect_child" in child.cmdline() else "workers"
        sums[role] += sum(child.cpu_times()[:2])
    return sums


def _runs(prefect_home: Path) -> dict[str, int]:
    """How many task runs of slides ended in which state, by Prefect's own database."""
    (file,) = prefect_home.glob("*.db")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT state_name, count(*) FROM task_run GROUP BY state_name").fetchall()
    database.close()
    return dict(rows)
