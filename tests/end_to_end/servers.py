"""Real servers for a test: started by hand as an operator would, ended with it."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

from tests.end_to_end.nights import MARROW, environment

PREFECT = MARROW.with_name("prefect")
DASK = MARROW.with_name("dask")
QUIET_PREFECT = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def process(*command, log, env=None, cwd=None):
    """A process in a group of its own, ended with everything it started."""
    with log.open("w") as out:
        started = subprocess.Popen(
            [str(part) for part in command],
            env=environment() if env is None else env,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(started.pid, sign)
                started.wait(timeout=20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def wait_until(condition, *, timeout_s: float, what: str, step_s: float = 0.5):
    """The first true value of ``condition``; AssertionError naming ``what`` when it does not come in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(step_s)
    raise AssertionError(f"waited {timeout_s:.0f} s for {what}")


def answers(url: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextmanager
def prefect_server(folder):
    """A real Prefect server; yields the environment that points at it."""
    port = free_port()
    env = environment(
        embedded=True,
        PREFECT_HOME=str(folder / "prefect"),
        PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
        **QUIET_PREFECT,
    )
    (folder / "prefect").mkdir(parents=True)
    command = (PREFECT, "server", "start", "--host", "127.0.0.1", "--port", port)
    with process(*command, log=folder / "server.log", env=env):
        wait_until(lambda: answers(f"{env['PREFECT_API_URL']}/health"), timeout_s=180, what="the Prefect server")
        yield env


@contextmanager
def dask_cluster(folder, *, workers: int):
    """A scheduler and workers started by hand; yields the scheduler's address."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    scheduler = (DASK, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    with process(*scheduler, log=folder / "scheduler.log"):
        if not workers:
            yield address
            return
        command = (DASK, "worker", address, "--nthreads", 1, "--no-dashboard", "--local-directory", folder / "spill")
        with process(*command, "--nworkers", workers, log=folder / "worker.log"):
            yield address
