"""Places where a process can be made to die: real functions wrapped from outside, so that the product has no hooks.

A point is armed by a file of its name in the folder ``CHAOS_ARMED``; whoever reaches it first takes the file and
kills itself, so that one armed point is one death. ``dask worker --preload tests.faults.kill_points`` wraps the points
of workers, and those of the decoder processes that they start, which take their worker along; :func:`install` wraps
points in the process that calls it.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARMED = "CHAOS_ARMED"
PIDS = "CHAOS_PIDS"
CURSE, DEATHS = "cursed", "cursed.deaths"


@dataclass(frozen=True, slots=True)
class Point:
    """Where: before or after the ``nth`` call of a function, or at the end of the block of a context manager."""

    module: str
    name: str
    when: str
    nth: int = 1


DECODER_POINTS = {
    "ingest.before_rename": Point("marrow_models.pyramid.ingest", "complete", "before"),
    "ingest.after_rename": Point("marrow_models.pyramid.manifest", "_sync_folder", "after", nth=2),
    "ingest.after_mark": Point("marrow_models.pyramid.manifest", "_sync_folder", "after", nth=3),
}
OWN_POINTS = {
    "survey": Point("tasks.survey", "survey_store", "after"),
    "fields": Point("tasks.analyse", "analyse_stored_fields", "after"),
}
WORKER_POINTS = DECODER_POINTS | OWN_POINTS
FLOW_POINTS = {
    "ledger.entry": Point("warehouse.ledger", "record", "after", nth=4),
    "receipt.before_rename": Point("tasks.receipts", "replacing", "before exit"),
    "receipt.after_rename": Point("tasks.receipts", "replacing", "after"),
    "load.before_commit": Point("warehouse.load", "make_current", "after"),
    "load.after_commit": Point("warehouse.load", "load_slide", "after"),
    "diagnosis.after_commit": Point("warehouse.load", "load_diagnosis", "after"),
    "parquet.half_way": Point("warehouse.parquet", "_write", "after", nth=6),
    "parquet.before_link": Point("warehouse.parquet", "_point", "before"),
    "publish.before_replace": Point("warehouse.publish", "replacing", "before exit"),
    "publish.after_replace": Point("warehouse.publish", "replacing", "after"),
}
POINTS = WORKER_POINTS | FLOW_POINTS
LATE = frozenset(name for name in FLOW_POINTS if name.startswith(("diagnosis", "parquet", "publish")))
"""Points that are reached when every slide is loaded."""


def arm(folder: Path, name: str) -> None:
    """Let the next process that reaches a point die there."""
    assert name in POINTS
    (folder / name).touch()


def install(points: dict[str, Point], *, with_parent: bool = False) -> None:
    """Wrap the functions of ``points`` in this process; ``with_parent``: it takes its parent along."""
    folder = Path(os.environ[ARMED])
    for name, point in points.items():
        module = importlib.import_module(point.module)
        setattr(
            module,
            point.name,
            _wrapped(getattr(module, point.name), _death(folder, name, point, with_parent), point.when),
        )


def _death(folder: Path, name: str, point: Point, with_parent: bool) -> Callable[[], None]:
    calls = 0

    def reached() -> None:
        nonlocal calls
        if not (folder / name).exists():
            return
        calls += 1
        if calls < point.nth:
            return
        try:
            (folder / name).rename(folder / f"{name}.reached")
        except FileNotFoundError:  # another process was first
            return
        if with_parent:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    return reached


def _wrapped(function: Callable[..., Any], reached: Callable[[], None], when: str) -> Callable[..., Any]:
    @contextmanager
    @functools.wraps(function)
    def block(*args: Any, **kwargs: Any) -> Any:
        with function(*args, **kwargs) as value:
            yield value
            if when == "before exit":
                reached()
        reached()

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            reached()
        value = function(*args, **kwargs)
        if when == "after":
            reached()
        return value

    is_block = hasattr(function, "__wrapped__") and function.__name__ == "replacing"
    return block if is_block else call


def curse(folder: Path, slide_id: str) -> Path:
    """Let every worker die that surveys a slide; the file that gets a line for each death."""
    (folder / CURSE).write_text(slide_id)
    (folder / DEATHS).write_text("")
    return folder / DEATHS


def lift_curse(folder: Path) -> None:
    """No slide kills any more."""
    (folder / CURSE).unlink()


def _cursed(function: Callable[..., Any]) -> Callable[..., Any]:
    folder = Path(os.environ[ARMED])

    @functools.wraps(function)
    def call(store: Path, *args: Any) -> Any:
        if (folder / CURSE).exists() and (folder / CURSE).read_text() in store.name:
            with (folder / DEATHS).open("a") as file:
                file.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return function(store, *args)

    return call


def dask_setup(worker: Any) -> None:
    """Called by ``dask worker --preload``: the worker can be found, and dies where it is told to."""
    (Path(os.environ[PIDS]) / str(os.getpid())).touch()
    install(OWN_POINTS)
    _install_in_decoders()
    survey = importlib.import_module("tasks.survey")
    survey.survey_store = _cursed(survey.survey_store)  # type: ignore[attr-defined]


def _install_in_decoders() -> None:
    """Decoder processes of this worker wrap their points when their interpreter starts."""
    process = importlib.import_module("marrow_models.decoder.process")
    environment = process._environment
    site = Path(os.environ[ARMED]) / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(
        "from tests.faults.kill_points import DECODER_POINTS, install\ninstall(DECODER_POINTS, with_parent=True)\n"
    )

    def with_points() -> dict[str, str]:
        own = environment()
        return own | {ARMED: os.environ[ARMED], "PYTHONPATH": f"{site}{os.pathsep}{own['PYTHONPATH']}"}

    process._environment = with_points  # type: ignore[attr-defined]
