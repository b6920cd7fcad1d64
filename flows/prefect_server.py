"""Prefect servers of our own, on loopback and ended with us: one for `marrow serve`, one for a night by hand."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from flows.prefect_child import LOOPBACK
from marrow_models.errors import UserError

SERVER_START_S = 180.0
STOP_S = 5.0
EMBEDDED_SERVER = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect gives its embedded server: no pages, none of the services that a lasting server needs."""


@contextmanager
def prefect_server(password_file: Path, err: Console) -> Iterator[None]:
    """The user's server, or one of our own on loopback that ends with this process.

    Ours takes only those who know its password (basic authentication), which is new each time and lies in
    ``password_file`` (mode 0600) for who wants to open its pages; state-changing requests need a CSRF token as well.
    """
    if "PREFECT_API_URL" in os.environ:
        yield
        return
    port = _free_port()
    url = f"http://{LOOPBACK}:{port}/api"
    auth = f"marrow:{secrets.token_urlsafe(32)}"
    _write_secret(password_file, auth)
    environment = os.environ | {
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_UI_ENABLED": "true",
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with err.status("starting the Prefect server"):
            _wait_until_healthy(process, url)
        # Read by Prefect's client here and in the process of each run.
        os.environ |= {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": auth}
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)
        password_file.unlink(missing_ok=True)


@contextmanager
def embedded_server(*, wanted: bool) -> Iterator[Callable[[], None]]:
    """Prefect's embedded server, started at once in a process of its own; calling what is yielded waits for it.

    Prefect starts the same server by itself, but only when a flow begins, and for that it imports the whole server into
    the flow's process as well. Begun here it starts while this process still imports. Nothing is started where it is
    not ``wanted``: a server that the user named is used. Call it before Prefect is imported.
    """
    if not wanted:
        yield lambda: None
        return
    port = _free_port()
    url = f"http://{LOOPBACK}:{port}/api"
    command = [sys.executable, "-m", "flows.prefect_child", str(port)]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
        command,
        env=os.environ | EMBEDDED_SERVER,
        stdin=subprocess.PIPE,  # it ends when this closes, also with a process that is killed
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.environ["PREFECT_API_URL"] = url
    try:
        yield lambda: _wait_until_healthy(process, url, poll_s=0.1)
    finally:
        _send_last_logs()
        os.environ.pop("PREFECT_API_URL", None)
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _send_last_logs() -> None:
    """Prefect sends logs from a thread, at the latest when the interpreter ends: the server must still be there."""
    if "prefect" in sys.modules:
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=STOP_S)


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, *, poll_s: float = 0.5) -> None:
    deadline = time.monotonic() + SERVER_START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"The Prefect server ended with code {process.returncode}. Try: prefect server start")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310 - our own loopback address
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(poll_s)
    raise UserError(f"The Prefect server did not answer within {SERVER_START_S:.0f} s.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
