"""Progress for people: two bars on standard error (slides, fields), or log lines where there is no terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tasks.progress import Progress as Listener

STAGE_WORDS = {
    "discover": "looking for slides",
    "ingest": "ingesting",
    "survey": "surveying",
    "detect and classify": "counting",
    "validate": "validating",
    "load": "loading",
    "diagnose": "diagnosing",
    "publish": "publishing",
}

_listener: ContextVar[Listener | None] = ContextVar("progress", default=None)


def current_listener() -> Listener | None:
    """Whoever watches the run from a terminal, if anybody."""
    return _listener.get()


@contextmanager
def show_progress(console: Console) -> Iterator[None]:
    """Show the progress of the run that is started inside on ``console``."""
    if console.is_terminal:
        with _bars(console) as bars:
            yield from _listening(TerminalProgress(bars))
    else:
        yield from _listening(LineProgress(console))


def _listening(listener: Listener) -> Iterator[None]:
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


class TerminalProgress:
    """Two bars: slides ended of discovered, and fields analysed of chosen, with the stage each slide is in."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._lock = threading.Lock()
        self._slides: TaskID = bars.add_task("starting", total=None)
        self._fields: TaskID = bars.add_task("fields", total=None)
        self._of_slide: dict[str, tuple[int, int, int]] = {}
        self._ended = 0

    def discovered(self, slides: int) -> None:
        """The length of the first bar."""
        self._bars.update(self._slides, total=slides, description="slides")

    def stage_started(self, slide_id: str | None, stage: str) -> None:
        """The stage is the first bar's text."""
        where = f" {slide_id[:9]}" if slide_id else ""
        self._bars.update(self._slides, description=f"slides: {STAGE_WORDS.get(stage, stage)}{where}")

    def fields_done(self, slide_id: str, done: int, chosen: int, cells: int) -> None:
        """The second bar sums over slides."""
        with self._lock:
            self._of_slide[slide_id] = done, chosen, cells
            sums = [sum(column) for column in zip(*self._of_slide.values(), strict=True)]
        self._bars.update(self._fields, completed=sums[0], total=sums[1], description=f"fields: {sums[2]} cells")

    def slide_ended(self, slide_id: str, state: str, reason: str | None) -> None:
        """One more slide; what went wrong stays on the screen."""
        with self._lock:
            self._ended += 1
        self._bars.update(self._slides, completed=self._ended)
        if reason is not None:
            self._bars.console.print(f"{slide_id}: {state} ({reason})")


class LineProgress:
    """One line a slide, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._total = 0
        self._ended = 0

    def discovered(self, slides: int) -> None:
        """Say how many."""
        self._total = slides
        self._console.print(f"{slides} slides to take through")

    def stage_started(self, slide_id: str | None, stage: str) -> None:
        """Stages of the night are said, those of a slide are not."""
        if slide_id is None:
            self._console.print(STAGE_WORDS.get(stage, stage))

    def fields_done(self, slide_id: str, done: int, chosen: int, cells: int) -> None:
        """Too many for a log."""

    def slide_ended(self, slide_id: str, state: str, reason: str | None) -> None:
        """One line."""
        with self._lock:
            self._ended += 1
            count = self._ended
        self._console.print(
            f"[{count}/{self._total}] {slide_id}: {state}{f' ({reason})' if reason else ''}", markup=False
        )
