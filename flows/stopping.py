"""SIGTERM and SIGINT end a night in order: no new slide, fields in flight dropped, the run closed, the lock let go."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tasks.stop import Stop

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LONGEST_END_S = 25.0
"""After this the process ends at once; the next run closes what it left, as after a crash."""


@contextmanager
def ends_in_order(stop: Stop, drop_work: Callable[[], None]) -> Iterator[None]:
    """While the block runs, the first signal sets ``stop`` and calls ``drop_work`` on a thread of its own.

    A second signal interrupts the process as it would have without this. Outside the main thread, where there are
    no signals, nothing happens.
    """
    before: dict[signal.Signals, Any] = {}

    def on_signal(number: int, frame: object) -> None:
        for own, handler in before.items():
            signal.signal(own, handler)
        stop.request(number)
        threading.Thread(target=_end, args=(number, drop_work), daemon=True).start()

    with suppress(ValueError):  # not the main thread
        for known in SIGNALS:
            before[known] = signal.signal(known, on_signal)
    try:
        yield
    finally:
        for known, handler in before.items():
            if signal.getsignal(known) is on_signal:
                signal.signal(known, handler)


def _end(number: int, drop_work: Callable[[], None]) -> None:
    limit = threading.Timer(LONGEST_END_S, os._exit, (128 + number,))
    limit.daemon = True
    limit.start()
    drop_work()
