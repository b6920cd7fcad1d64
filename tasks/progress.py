"""What a run tells whoever watches it. Listeners show it; they never change the run."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of each step as it happens; called from several threads."""

    def discovered(self, slides: int) -> None:
        """So many slides will be taken through."""

    def stage_started(self, slide_id: str | None, stage: str) -> None:
        """A stage began, for one slide or (None) for the night."""

    def fields_done(self, slide_id: str, done: int, chosen: int, cells: int) -> None:
        """``done`` of ``chosen`` fields of a slide are analysed, with ``cells`` found so far."""

    def slide_ended(self, slide_id: str, state: str, reason: str | None) -> None:
        """A slide reached its last state."""


class Broadcast:
    """Passes everything on to several listeners."""

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def discovered(self, slides: int) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.discovered(slides)

    def stage_started(self, slide_id: str | None, stage: str) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.stage_started(slide_id, stage)

    def fields_done(self, slide_id: str, done: int, chosen: int, cells: int) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.fields_done(slide_id, done, chosen, cells)

    def slide_ended(self, slide_id: str, state: str, reason: str | None) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.slide_ended(slide_id, state, reason)
