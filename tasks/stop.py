"""The wish that a night ends: set by a signal, looked at by every stage before it begins."""

from __future__ import annotations

import threading

from marrow_models.errors import NightStopped


class Stop:
    """Whether this night was asked to end, and by which signal. Safe to set from a signal handler."""

    def __init__(self) -> None:
        self._signal_number: int | None = None
        self._requested = threading.Event()

    def request(self, signal_number: int) -> None:
        """Ask the night to end; the first signal counts."""
        if self._signal_number is None:
            self._signal_number = signal_number
        self._requested.set()

    @property
    def requested(self) -> bool:
        """Whether the night should end."""
        return self._requested.is_set()

    @property
    def exit_code(self) -> int | None:
        """128 and the number of the signal, as shells count; None when nobody asked."""
        return None if self._signal_number is None else 128 + self._signal_number

    @property
    def failure(self) -> NightStopped | None:
        """What ends the night when it was asked to."""
        return None if self._signal_number is None else NightStopped(self._signal_number)

    def check(self) -> None:
        """Raise :class:`NightStopped` when the night should end."""
        if (failure := self.failure) is not None:
            raise failure
