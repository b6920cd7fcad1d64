"""The workers of a night: a Dask client, which of its workers to use, and how to wait without being lied to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from marrow_models.errors import NightFailed, Reason, SlideRefused
from tasks.remote import Outcome, guarded

if TYPE_CHECKING:
    from distributed import Client, Future


_LOST = "The scheduler of the cluster is gone, and with it the work. Start it again; the next run goes on from here."


@dataclass(frozen=True, slots=True)
class Workers:
    """Where stages run. Futures hold :class:`Outcome` values, so that nothing raises on a worker."""

    client: Client
    timeout_s: float
    resources: dict[str, float] | None
    """Dask resources that each piece of work takes; None: any worker will do."""
    _alone: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one piece of work that is tried again after its worker died."""

    @staticmethod
    def of(client: Client, timeout_s: float) -> Workers:
        """Workers that declare the Dask resource ``GPU`` are used where there are any, all of them otherwise."""
        return Workers(client, timeout_s, {"GPU": 1} if has_gpu(client) else None)

    @property
    def threads(self) -> int:
        """How many pieces of work run at a time. Raises NightFailed when the scheduler does not answer."""
        try:
            threads: dict[str, int] = self.client.nthreads()
        except (OSError, TimeoutError):
            raise NightFailed(_LOST) from None
        return max(1, sum(threads.values()))

    def submit(self, key: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``function`` on a worker. ``key`` names the work by its content: equal keys are computed once."""
        return self.client.submit(guarded, function, *args, key=key, resources=self.resources, pure=True, **kwargs)

    def wait(self, future: Future[Any]) -> Any:
        """The value of a future; a refusal, a lost worker or a time-out as :class:`SlideRefused`.

        Raises :class:`NightFailed` when the scheduler is gone, and with it all that was under way.
        """
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        try:
            outcome: Outcome = future.result(timeout=self.timeout_s)
        except KilledWorker:
            raise SlideRefused(Reason.WORKER_DIED) from None
        except FutureCancelledError:
            raise NightFailed(_LOST) from None
        except TimeoutError:
            raise SlideRefused(Reason.TIMEOUT, f"{self.timeout_s:.0f} s") from None
        finally:
            future.release()
        return outcome.unwrap()

    def drop_all(self) -> None:
        """Let go of all work; whoever waits for some is told that it was dropped."""
        self.client.close(timeout=5)

    def call(self, key: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run ``function`` on a worker and wait for it; once more, alone, when the worker died."""
        try:
            return self.wait(self.submit(key, function, *args, **kwargs))
        except SlideRefused as refusal:
            if refusal.reason is not Reason.WORKER_DIED:
                raise
        return self.call_alone(key, function, *args, **kwargs)

    def call_alone(self, key: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Try work again whose worker died, while no other such work runs.

        Dask blames all work that was on a dead worker, also what only waited there: this tells the one that kills
        from those beside it. Raises SlideRefused(WORKER_DIED) when it happens again.
        """
        from tasks.run_log import run_log  # Prefect, which may not be imported before it is pointed at its server

        run_log().warning("%s: its worker died; tried again, alone", key)
        with self._alone:
            return self.wait(self.submit(f"{key}-alone", function, *args, **kwargs))


def has_gpu(client: Client) -> bool:
    """Whether a worker declares the Dask resource ``GPU``."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return any((worker.get("resources") or {}).get("GPU", 0) > 0 for worker in workers)
