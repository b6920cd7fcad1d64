"""What every Dask worker of a night gets when it joins: silent logs, and deaf ears for Ctrl-C where it is our child."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from tasks.log_scrubber import Scrubber, install


class WorkerGuard(WorkerPlugin):
    """Scrubs the worker's log records; ``embedded`` workers leave SIGINT to the flow, which ends them in order."""

    name = "marrow-guard"

    def __init__(self, places: dict[Path, str], *, embedded: bool) -> None:
        self._places = places
        self._embedded = embedded

    def setup(self, worker: Any) -> None:
        """Called on every worker, also on one that joins later."""
        install(Scrubber(self._places))
        if self._embedded:
            with suppress(ValueError):  # not in the main thread of its process
                signal.signal(signal.SIGINT, signal.SIG_IGN)
