"""A night that can be killed: real flow processes, a real Dask cluster and a real Prefect server, each killed by hand.

Flow processes are forked from a process that has imported everything once, so that a night costs seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.end_to_end.servers import DASK, free_port, process, wait_until
from tests.faults.kill_points import ARMED, PIDS, WORKER_POINTS, arm

IMPORTED_ONCE = [
    "flows.nightly",
    "marrow_models.analysis",
    "great_expectations",
    "distributed",
    "duckdb",
    "pyarrow.parquet",
    "tests.faults.kill_points",
    "warehouse.validate",
]
QUIET = {
    "MARROW_SETTLE_S": "0",
    "MARROW_LEAST_FREE_BYTES": "0",
    "MARROW_NO_WORKERS_TIMEOUT_S": "60",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    "GX_ANALYTICS_ENABLED": "false",
}


@dataclass(slots=True)
class Rig:
    """Server, scheduler, workers and the way to start nights; everything it started ends with it."""

    folder: Path
    env: dict[str, str]
    workers: int = 1
    address: str = ""
    _stack: ExitStack = field(default_factory=ExitStack)
    _cluster: ExitStack = field(default_factory=ExitStack)
    _scheduler: Any = None
    _nights: int = 0

    @property
    def armed(self) -> Path:
        """Files of armed kill points."""
        return self.folder / "armed"

    def start_cluster(self) -> None:
        """A scheduler and workers under a nanny, which is what starts a worker again."""
        self._cluster.close()
        for old in (self.folder / "pids").iterdir():
            old.unlink()
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        env = dict(os.environ)
        command = (DASK, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        self._scheduler = self._cluster.enter_context(process(*command, log=self.folder / "scheduler.log", env=env))
        self._cluster.enter_context(
            process(
                DASK, "worker", self.address, "--nthreads", 1, "--nworkers", self.workers, "--no-dashboard",
                "--local-directory", self.folder / "spill", "--preload", "tests.faults.kill_points",
                log=self.folder / "workers.log", env=env,
            )
        )  # fmt: skip
        wait_until(lambda: len(self.worker_pids()) >= self.workers, timeout_s=120, what="workers", step_s=0.05)

    def worker_pids(self) -> list[int]:
        """The worker processes that live."""
        pids = [int(path.name) for path in (self.folder / "pids").iterdir()]
        return [pid for pid in pids if _is_alive(pid)]

    def kill_worker(self) -> bool:
        """SIGKILL one worker; False when none was alive."""
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def kill_scheduler(self) -> None:
        """SIGKILL the scheduler."""
        self._scheduler.kill()
        self._scheduler.wait()

    def night(self, inbox: Path, home: Path, **options: Any) -> ForkServerProcess:
        """A night in a process of its own; its exit code is 0 done, 3 with quarantine, 1 failed, 70 crashed."""
        self._nights += 1
        log = self.folder / f"night-{self._nights:04d}.log"
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED_ONCE)
        acknowledged = home.parent / f"{home.name}.acknowledged"
        arguments = (inbox, home, self.address, acknowledged, log, self.env, options)
        started = context.Process(target=run_one_night, args=arguments)
        started.start()
        return started

    def warm_up(self) -> None:
        """Import everything, so that no night is charged for it."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED_ONCE)
        nothing = context.Process(target=os.getpid)
        nothing.start()
        nothing.join()

    def log_of_last_night(self) -> str:
        """What the last night wrote, for the message of an assertion."""
        path = self.folder / f"night-{self._nights:04d}.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def arm(self, name: str) -> None:
        """Let the next process that reaches a kill point die there."""
        arm(self.armed, name)

    def was_reached(self, name: str) -> bool:
        """Whether a process died at an armed point; the point is disarmed in either case."""
        (self.armed / name).unlink(missing_ok=True)
        reached = self.armed / f"{name}.reached"
        found = reached.exists()
        reached.unlink(missing_ok=True)
        return found

    @staticmethod
    def is_of_workers(name: str) -> bool:
        """Whether a worker dies at a point, and not the flow."""
        return name in WORKER_POINTS


@contextmanager
def rig(folder: Path, server: dict[str, str], *, workers: int = 1) -> Iterator[Rig]:
    """A rig whose nights report to the Prefect server that ``server`` (environment) points at."""
    extra = QUIET | server | {ARMED: str(folder / "armed"), PIDS: str(folder / "pids")}
    made = Rig(folder, extra, workers)
    for part in ("armed", "pids"):
        (folder / part).mkdir(parents=True)
    before = {name: os.environ.get(name) for name in extra}
    os.environ.update(extra)
    try:
        made.start_cluster()
        yield made
    finally:
        made._cluster.close()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def run_one_night(
    inbox: Path, home: Path, cluster: str, acknowledged: Path, log: Path, env: dict[str, str], options: dict[str, Any]
) -> None:
    """In the forked process: the flow itself, with what is acknowledged written down at once."""
    # The process that was forked may have been started by an earlier rig.
    os.environ.update(env)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from tests.faults import kill_points

    _note_acknowledged(acknowledged)
    kill_points.install(kill_points.FLOW_POINTS)
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.nightly import nightly

    try:
        with temporary_settings(updates={PREFECT_API_URL: env["PREFECT_API_URL"]}):
            state = nightly(home=home, inbox=inbox, cluster=cluster, return_state=True, **options)
        sys.stdout.write(f"{state}\n")
        code = {"Completed": 0, "CompletedWithQuarantine": 3}.get(state.name, 1)
    except Exception:  # noqa: BLE001 - the edge of a process: its end is what the supervisor judges
        traceback.print_exc(file=sys.stdout)
        code = 70
    sys.stdout.flush()
    os._exit(code)


def _note_acknowledged(path: Path) -> None:
    """Every commit that the warehouse acknowledged is in the file before anything else can happen."""
    from tasks import receipts
    from warehouse import ledger, load

    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    load_slide, record, write = load.load_slide, ledger.record, receipts.Receipts.write

    def noting_load(*args: Any, **kwargs: Any) -> Any:
        receipt = load_slide(*args, **kwargs)
        os.write(descriptor, f"load {receipt.key} {receipt.cells}\n".encode())
        return receipt

    def noting_record(*args: Any, **kwargs: Any) -> Any:
        event = record(*args, **kwargs)
        os.write(descriptor, f"ledger {event.run_id} {event.slide_id} {event.attempt} {event.state}\n".encode())
        return event

    def noting_write(kept: Any, group: Any, cells: Any) -> None:
        write(kept, group, cells)
        os.write(descriptor, f"fields {os.getpid()} {len(group)}\n".encode())

    load.load_slide, ledger.record = noting_load, noting_record
    receipts.Receipts.write = noting_write  # type: ignore[method-assign]


def ended(night: ForkServerProcess, within_s: float) -> int | None:
    """The exit code of a night; None, and the night goes on, when it did not end in time."""
    night.join(within_s)
    return night.exitcode


def kill(night: ForkServerProcess) -> bool:
    """SIGKILL a night; False when it had ended before."""
    if night.exitcode is not None:
        return False
    night.kill()
    night.join()
    return night.exitcode == -signal.SIGKILL


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
