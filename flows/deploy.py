"""`marrow deploy` and `marrow serve`: the nightly schedule, with a Prefect server and worker or in one process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.settings import prepare_prefect
from marrow_models.errors import UserError

POOL = "marrow"
LOOPBACK = "127.0.0.1"
SERVER_START_S = 180.0


def deploy(*, prefect_file: Path, parameters: dict[str, Any], cron: str | None, timezone: str | None) -> None:
    """Create the work pool and the deployments of ``prefect_file`` on the server that PREFECT_API_URL names.

    ``parameters`` (home, inbox, ...) become defaults of every deployment that takes them; ``cron`` and ``timezone``
    replace the nightly schedule of the file. Raises :class:`UserError` when the file or the server is not there.
    """
    if not prefect_file.is_file():
        raise UserError(f"{prefect_file} is not there. Run from the project's folder, or give --prefect-file.")
    if "PREFECT_API_URL" not in os.environ:
        raise UserError("PREFECT_API_URL is not set. Start `prefect server start` and set it, or use `marrow serve`.")
    import asyncio

    asyncio.run(_deploy(prefect_file, parameters, cron, timezone))


async def _deploy(prefect_file: Path, parameters: dict[str, Any], cron: str | None, timezone: str | None) -> None:
    import yaml
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    async with get_client() as client:
        try:
            await client.read_work_pool(POOL)
        except ObjectNotFound:
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process", concurrency_limit=1))
    for entry in yaml.safe_load(prefect_file.read_text(encoding="utf-8"))["deployments"]:
        flow = _flow(entry["entrypoint"])
        known = set(flow.parameters.properties)
        schedule = next(iter(entry.get("schedules", [])), None)
        deployment = await flow.ato_deployment(
            name=entry["name"],
            description=entry["description"],
            parameters=entry.get("parameters", {}) | {k: v for k, v in parameters.items() if k in known},
            schedule=_schedule(schedule, cron, timezone) if schedule else None,
            concurrency_limit=_concurrency(entry["concurrency_limit"]),
            tags=entry.get("tags", []),
            work_pool_name=entry["work_pool"]["name"],
            work_queue_name=entry["work_pool"]["work_queue_name"],
            entrypoint_type=_module_path(),
        )
        await deployment.aapply()


def serve(home: Path, *, parameters: dict[str, Any], cron: str, timezone: str, err: Console) -> None:
    """Run the schedule in this process until it is stopped, starting a Prefect server on loopback if none is named.

    One flow run at a time; each is a process of its own, so that a crash of one never stops the schedule.
    """
    prepare_prefect(home)
    with _server(err):
        from prefect import serve as serve_deployments

        deployments = []
        for name in ("nightly", "ingest", "analyse", "publish"):
            flow = _flow(f"flows.nightly.{name}")
            own = {k: v for k, v in parameters.items() if k in flow.parameters.properties}
            deployments.append(
                flow.to_deployment(
                    name=name,
                    parameters=own | ({"trigger": "schedule"} if name == "nightly" else {}),
                    schedule=_cron(cron, timezone) if name == "nightly" else None,
                    concurrency_limit=_concurrency({"limit": 1, "collision_strategy": "ENQUEUE"}),
                    tags=["marrow"],
                    entrypoint_type=_module_path(),
                )
            )
        err.print(f"Serving; the night begins by cron {cron!r} in {timezone}. Prefect: {os.environ['PREFECT_API_URL']}")
        # A restart of this service must not pause the schedule.
        serve_deployments(*deployments, pause_on_shutdown=False, print_starting_message=False, limit=1)


@contextmanager
def _server(err: Console) -> Iterator[None]:
    """The user's server, or one of our own on loopback that ends with this process."""
    if "PREFECT_API_URL" in os.environ:
        yield
        return
    port = _free_port()
    url = f"http://{LOOPBACK}:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)]
    environment = os.environ | {"PREFECT_API_URL": url, "PREFECT_SERVER_UI_ENABLED": "true"}
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with err.status("starting the Prefect server"):
            _wait_until_healthy(process, url)
        os.environ["PREFECT_API_URL"] = url
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + SERVER_START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"The Prefect server ended with code {process.returncode}. Try: prefect server start")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310 - our own loopback address
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise UserError(f"The Prefect server did not answer within {SERVER_START_S:.0f} s.")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _flow(entrypoint: str) -> Any:
    import importlib

    module, _, name = entrypoint.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _schedule(entry: dict[str, Any], cron: str | None, timezone: str | None) -> Any:
    return _cron(cron or entry["cron"], timezone or entry["timezone"])


def _cron(cron: str, timezone: str) -> Any:
    from prefect.schedules import Cron

    try:
        return Cron(cron, timezone=timezone)
    except ValueError as error:
        raise UserError(f"The schedule {cron!r} in {timezone!r} is not valid: {error}") from None


def _concurrency(entry: dict[str, Any]) -> Any:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig

    return ConcurrencyLimitConfig(**entry)


def _module_path() -> Any:
    from prefect.types.entrypoint import EntrypointType

    return EntrypointType.MODULE_PATH
