"""Looking at files and ingesting slides in a decoder process: the same answers, whatever the files hold."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from marrow_models.decoder.jobs import MAY_APPEAR
from marrow_models.decoder.pool import POOL
from marrow_models.decoder.process import DecoderDied, DecoderFull, DecoderLate, DecoderProcess, refusal_of
from marrow_models.decoder.wire import path_of, text_of
from marrow_models.errors import MarrowError, Reason, SlideRefused
from marrow_models.pyramid.ingest import MAX_LOST_FRACTION, StoreReceipt
from marrow_models.pyramid.manifest import always, sweep
from marrow_models.pyramid.plan import Profile
from marrow_models.slides.identity import Expected
from marrow_models.slides.look import Look

FILES_AT_ONCE = 256
RETRY_WAITS_S = (1.0, 4.0, 10.0)
"""A file server that went away for a moment is asked again after these."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What one file may cost."""

    open_s: float = 30.0
    """Until a slide is open, or a file of the inbox is recognised."""
    slide_s: float = 4 * 3600.0
    """From an open slide to its store."""
    memory_bytes: int = 4 << 30
    """Address space of the process."""


def ingest_apart(
    path: Path,
    members: Sequence[Path],
    store: Path,
    *,
    um_per_px: float | None,
    profile: Profile = "copy",
    max_lost: float = MAX_LOST_FRACTION,
    expected: Expected | None = None,
    limits: DecoderLimits | None = None,
    may_appear: Callable[[], None] = always,
    waits_s: Sequence[float] = RETRY_WAITS_S,
) -> StoreReceipt:
    """As :func:`marrow_models.pyramid.ingest.ingest_slide`, in a decoder process that keeps to ``limits``.

    ``may_appear`` is asked in this process.

    Raises
    ------
    SlideRefused
        Also DECODER_CRASH (it died twice), TIMEOUT, MEMORY, and SOURCE_GONE only after the waits ``waits_s``.
    """
    request = {
        "path": text_of(path),
        "members": [text_of(member) for member in members],
        "store": text_of(store),
        "um_per_px": um_per_px,
        "profile": profile,
        "max_lost": max_lost,
        "expected": None if expected is None else expected.plain(),
    }
    limits = limits or DecoderLimits()
    ends_at = time.monotonic() + limits.open_s + limits.slide_s  # second attempts included
    try:
        return _patient(lambda: _twice(lambda process: _ingest(process, request, limits, ends_at, may_appear)), waits_s)
    except MarrowError:
        sweep(store)  # a process that was killed leaves its half of a store
        raise


def look_apart(paths: Sequence[Path], *, limits: DecoderLimits | None = None) -> Iterator[Look | SlideRefused | None]:
    """As :func:`marrow_models.slides.look.look_here`, in a decoder process; a file that it dies of costs that file."""
    for start in range(0, len(paths), FILES_AT_ONCE):
        yield from _looks([text_of(path) for path in paths[start : start + FILES_AT_ONCE]], limits or DecoderLimits())


def _ingest(
    process: DecoderProcess,
    request: dict[str, Any],
    limits: DecoderLimits,
    ends_at: float,
    may_appear: Callable[[], None],
) -> StoreReceipt:
    left_s = max(0.0, ends_at - time.monotonic())
    process.send("ingest", request, memory_bytes=limits.memory_bytes, seconds=left_s)
    try:
        ended, value = process.receive(min(limits.open_s, left_s))
    except DecoderLate:
        raise DecoderLate(f"not open within {limits.open_s:g} s") from None
    left_s = min(limits.slide_s, max(0.0, ends_at - time.monotonic()))
    try:
        while not ended:
            if value == MAY_APPEAR:
                may_appear()
                process.go_on()
            ended, value = process.receive(left_s)
    except DecoderLate:
        raise DecoderLate(f"not ingested within {limits.slide_s:g} s") from None
    return StoreReceipt(**value)


def _looks(names: list[str], limits: DecoderLimits) -> Iterator[Look | SlideRefused | None]:
    """Look at files in order; the file without an answer is the one that ended the process."""
    seen: list[Look | SlideRefused | None] = []
    suspect = -1
    while len(seen) < len(names):
        before = len(seen)
        try:
            with POOL.lend() as process:
                _look(process, names[before:], limits, seen)
        except DecoderDied as death:
            if suspect == len(seen):
                seen.append(SlideRefused(Reason.DECODER_CRASH, str(death)))
            suspect = len(seen)
        except DecoderLate:
            seen.append(SlideRefused(Reason.TIMEOUT, f"not recognised within {limits.open_s:g} s"))
        except DecoderFull:
            seen.append(SlideRefused(Reason.MEMORY))
        except SlideRefused as refusal:  # an error that nobody foresaw
            seen.append(refusal)
        except OSError as error:
            seen.append(SlideRefused(Reason.INTERNAL, errno.errorcode.get(error.errno or 0, "OSError")))
    yield from seen


def _look(
    process: DecoderProcess, names: list[str], limits: DecoderLimits, seen: list[Look | SlideRefused | None]
) -> None:
    seconds = limits.open_s * len(names)
    process.send("look", {"paths": names}, memory_bytes=limits.memory_bytes, seconds=seconds)
    while True:
        ended, value = process.receive(limits.open_s)
        if ended:
            return
        seen.append(_seen(value))


def _seen(value: dict[str, Any] | None) -> Look | SlideRefused | None:
    if value is None:
        return None
    if "refused" in value:
        return refusal_of(value)
    members = tuple(path_of(member) for member in value["members"])
    return Look(value["format"], value["series"], value["is_volume"], members)


def _twice(work: Callable[[DecoderProcess], T]) -> T:
    """Do work in a decoder process, and once more in a fresh one when the first dies of it."""
    with suppress(DecoderDied):
        return _once(work, fresh=False)
    try:
        return _once(work, fresh=True)
    except DecoderDied as death:
        raise SlideRefused(Reason.DECODER_CRASH, str(death)) from None


def _once(work: Callable[[DecoderProcess], T], *, fresh: bool) -> T:
    try:
        with POOL.lend(fresh=fresh) as process:
            return work(process)
    except DecoderLate as late:
        raise SlideRefused(Reason.TIMEOUT, str(late)) from None
    except DecoderFull:
        raise SlideRefused(Reason.MEMORY) from None


def _patient(work: Callable[[], T], waits_s: Sequence[float]) -> T:
    """Do work again, after waiting, while its source cannot be reached."""
    for wait_s in waits_s:
        try:
            return work()
        except SlideRefused as refusal:
            if refusal.reason != Reason.SOURCE_GONE:
                raise
        time.sleep(wait_s)
    return work()
