"""Nights started as a user starts them: by the command line, in a process of their own."""

import csv
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from marrow_models.phantom.night import PhantomNight, SlideScale, make_phantom

MARROW = Path(sys.executable).parent / "marrow"
SMALL = SlideScale(width_px=1536, height_px=1536, cells=(70, 80))
"""A slide that is counted in seconds: a seventh of the default one."""
QUIET = {"MARROW_SETTLE_S": "0", "MARROW_CLUSTER": "local:1"}


def small_phantom(folder: Path, *, seed: int = 5, patients: int = 2, **options) -> PhantomNight:
    """Slides of ``SMALL`` size, one a patient unless told otherwise."""
    options = {"slides_per_patient": 1, "scale": SMALL} | options
    return make_phantom(folder, seed=seed, patients=patients, **options)


SERVICES: dict[str, str] = {}
"""How to reach the Prefect server and the workers of the test session: to start some for every night would take most of
the time."""


def environment(*, embedded: bool = False, **extra: str) -> dict[str, str]:
    """The caller's environment without any Marrow or Prefect setting of its own.

    ``embedded``: the night starts a server and workers of its own.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MARROW_", "PREFECT_"))}
    return own | QUIET | ({} if embedded else SERVICES) | extra


def marrow(
    *arguments: object, timeout_s: float = 300, embedded: bool = False, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run ``marrow`` to its end; the caller looks at exit code and output."""
    return subprocess.run(
        [MARROW, *map(str, arguments)],
        env=environment(embedded=embedded, **extra),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def run_night(inbox: Path, home: Path, *arguments: object, expect: int = 0, **extra: str | bool) -> dict:
    """Run ``marrow run --json`` and return its result; the exit code must be ``expect``."""
    done = marrow("run", "--inbox", inbox, "--home", home, "--json", *arguments, **extra)
    assert done.returncode == expect, done.stderr[-4000:]
    return json.loads(done.stdout)


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def published(home: Path):
    """A read-only connection to what a night published, as an analyst opens it."""
    import duckdb

    return duckdb.connect(str(home / "published" / "marrow.duckdb"), read_only=True)


def cells_of(home: Path) -> list[tuple]:
    """Every published cell without the ids that differ between files of the same slide."""
    with published(home) as database:
        return database.execute(
            "SELECT x_um, y_um, width_um, height_um, cell_class, confidence, detection_score, probabilities "
            "FROM cells ORDER BY ALL"
        ).fetchall()


def told_to_prefect(prefect_home: Path, slide_id: str) -> tuple[str, str, list[tuple[int, str]]]:
    """What Prefect's own database has of a slide: name and message of its run's state, and its log with levels."""
    (file,) = Path(prefect_home).glob("*.db")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        ((run, state, message),) = database.execute(
            "SELECT run.id, state.name, state.message FROM task_run AS run JOIN task_run_state AS state "
            "ON state.id = run.state_id WHERE run.name = ?",
            [f"slide {slide_id}"],
        ).fetchall()
        log = database.execute("SELECT level, message FROM log WHERE task_run_id = ? ORDER BY timestamp", [run])
        lines = log.fetchall()
    database.close()
    return state, message, lines
