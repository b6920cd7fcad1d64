"""What the decoder process does: look at files, and ingest a slide. Runs in the child; values are plain JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from marrow_models.decoder.wire import path_of, text_of
from marrow_models.errors import SlideRefused
from marrow_models.pyramid.ingest import ingest_slide
from marrow_models.slides.identity import Expected
from marrow_models.slides.look import look_at

Say = Callable[[Any], None]
"""Sends a part of the answer ahead of its end."""
Ask = Callable[[Any], None]
"""Sends a part of the answer and waits until the parent says go; a parent that does not agree kills the process."""
MAY_APPEAR = "may it appear?"


def look(request: dict[str, Any], say: Say, ask: Ask) -> None:
    """Say of each file what its first bytes tell, in order."""
    for name in request["paths"]:
        try:
            seen = look_at(path_of(name))
        except SlideRefused as refusal:
            say({"refused": str(refusal.reason), "detail": refusal.detail})
            continue
        say(
            None
            if seen is None
            else {
                "format": seen.format,
                "series": seen.series,
                "is_volume": seen.is_volume,
                "members": [text_of(member) for member in seen.members],
            }
        )


def ingest(request: dict[str, Any], say: Say, ask: Ask) -> dict[str, Any]:
    """Ingest a slide; say so when it is open, and ask before the store appears."""
    expected = request["expected"]
    receipt = ingest_slide(
        path_of(request["path"]),
        tuple(path_of(member) for member in request["members"]),
        path_of(request["store"]),
        um_per_px=request["um_per_px"],
        profile=request["profile"],
        max_lost=request["max_lost"],
        expected=None if expected is None else Expected.of(expected),
        opened=lambda: say("opened"),
        may_appear=lambda: ask(MAY_APPEAR),
    )
    return asdict(receipt)


JOBS: dict[str, Callable[[dict[str, Any], Say, Ask], Any]] = {"look": look, "ingest": ingest}
