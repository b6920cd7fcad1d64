"""Decoder processes kept for the next slide: one for each thread that decodes at the same time."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from marrow_models.decoder.process import DecoderProcess
from marrow_models.errors import Reason, SlideRefused

JOBS_PER_PROCESS = 200
"""After so many a process makes way for a fresh one: what a decoder leaks stays small."""


class DecoderPool:
    """Idle decoder processes of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[DecoderProcess] = []
        self._owner = os.getpid()

    @contextmanager
    def lend(self, *, fresh: bool = False) -> Iterator[DecoderProcess]:
        """A decoder process for one job. It is killed unless the job ended in a result or a foreseen refusal."""
        process = None if fresh else self._take()
        process = process or DecoderProcess()
        try:
            yield process
        except SlideRefused as refusal:
            if refusal.reason == Reason.INTERNAL:
                process.kill()
            else:
                self._give_back(process)
            raise
        except BaseException:
            process.kill()
            raise
        self._give_back(process)

    def close(self) -> None:
        """End all idle processes."""
        while (process := self._take()) is not None:
            process.close()

    def _take(self) -> DecoderProcess | None:
        with self._lock:
            if self._owner != os.getpid():  # after a fork the pipes are another's
                self._idle, self._owner = [], os.getpid()
            while self._idle:
                process = self._idle.pop()
                if process.alive:
                    return process
                process.kill()
        return None

    def _give_back(self, process: DecoderProcess) -> None:
        if process.jobs >= JOBS_PER_PROCESS or not process.alive:
            process.close()
            return
        with self._lock:
            self._idle.append(process)


POOL = DecoderPool()
"""The processes of this worker."""
atexit.register(POOL.close)
