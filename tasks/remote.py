"""The worker's side of a stage: light to import, and silent about what it was given.

Dask logs the arguments of a function that raises, and arguments hold paths of the inbox. So nothing raises on a
worker: what went wrong comes back as a value.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marrow_models.errors import Reason, SlideRefused, place_of

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call on a worker came to: a value, or the reason why there is none."""

    value: Any = None
    reason: Reason | None = None
    detail: str = ""

    def unwrap(self) -> Any:
        """The value, or the refusal as :class:`SlideRefused`."""
        if self.reason is not None:
            raise SlideRefused(self.reason, self.detail)
        return self.value


def guarded(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Outcome:
    """Call ``function``; every error becomes an :class:`Outcome` without the error's own text."""
    try:
        return Outcome(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - the edge of a task: an error costs one slide, never the night
        refusal = as_refusal(error)
        return Outcome(None, refusal.reason, refusal.detail)


def as_refusal(error: Exception) -> SlideRefused:
    """``error`` as a refusal. An unforeseen one is described by its type and place: its text may hold a name."""
    if isinstance(error, SlideRefused):
        return error
    if isinstance(error, FileNotFoundError):
        return SlideRefused(Reason.SOURCE_GONE, place_of(error))
    if isinstance(error, PermissionError):
        return SlideRefused(Reason.NO_PERMISSION, place_of(error))
    if isinstance(error, MemoryError):
        return SlideRefused(Reason.OOM, place_of(error))
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return SlideRefused(Reason.DISK_FULL, place_of(error))
    return SlideRefused(Reason.INTERNAL, place_of(error))
