"""What a run leaves in the Prefect UI: the night's table and a progress bar. Slide ids only, no names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP_PERCENT = 2.0
"""Smallest advance that is reported: a slide with 10,000 fields must not send 10,000 updates."""


def write_night_table(rows: Sequence[dict[str, Any]], *, run_id: str) -> None:
    """The night's table: a row a slide with state, reason, cells and time."""
    table = [{name: "" if value is None else value for name, value in row.items()} for row in rows]
    with _best_effort():
        create_table_artifact(key="night", table=table, description=f"Run {run_id}: slides, states, cells, seconds")


@contextmanager
def _best_effort() -> Iterator[None]:
    """A server that does not answer costs its picture of the night, never the night."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - Prefect's client raises whatever its transport does
        logging.getLogger(__name__).warning("Prefect did not take an artifact: %s", type(error).__name__)


class ProgressArtifact:
    """Progress of a run as a Prefect artifact: the share of slides ended, fields of open slides counted in part."""

    def __init__(self) -> None:
        self._artifact: UUID | None = None
        with _best_effort():
            self._artifact = cast(
                UUID, create_progress_artifact(progress=0.0, key="night-progress", description="Slides done")
            )
        self._lock = threading.Lock()
        self._slides = 0
        self._ended: set[str] = set()
        self._open: dict[str, float] = {}
        self._reported = 0.0

    def discovered(self, slides: int) -> None:
        """The whole."""
        self._slides = slides

    def stage_started(self, slide_id: str | None, stage: str) -> None:
        """Stages of a slide are in the log of its task run, those of the night are task runs."""

    def fields_done(self, slide_id: str, done: int, chosen: int, cells: int) -> None:
        """A part of a slide."""
        with self._lock:
            self._open[slide_id] = done / max(chosen, 1)
        self._report()

    def slide_ended(self, slide_id: str, state: str, reason: str | None) -> None:
        """A whole slide."""
        with self._lock:
            self._ended.add(slide_id)
            self._open.pop(slide_id, None)
        self._report()

    def _report(self) -> None:
        with self._lock:
            if not self._slides:
                return
            percent = min(100.0, 100.0 * (len(self._ended) + sum(self._open.values())) / self._slides)
            if percent < 100.0 and percent - self._reported < STEP_PERCENT:
                return
            self._reported = percent
        if self._artifact is not None:
            with _best_effort():
                update_progress_artifact(self._artifact, progress=percent)
