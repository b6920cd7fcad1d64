"""`marrow deploy` and `marrow serve`: the nightly schedule, with a Prefect server and worker or in one process."""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.automations import TAG, store_automations
from flows.prefect_server import prefect_server
from flows.settings import prepare_prefect, read_secret_files
from marrow_models.errors import UserError
from tasks.home import Home

POOL = "marrow"
NIGHT_QUEUE = "default"
"""Runs of this queue work on the warehouse: one at a time."""
WATCH_QUEUE = "watch"
"""The reconciler's, so that a dead night that keeps its slot cannot keep the reconciler's too."""
SERVED = ("nightly", "ingest", "analyse", "retry", "publish")
RECONCILE = "reconcile"
RECONCILE_EVERY_S = 300


def deploy(*, prefect_file: Path, parameters: dict[str, Any], cron: str | None, timezone: str | None) -> None:
    """Create work pool, deployments and automations of ``prefect_file`` on the server that PREFECT_API_URL names.

    ``parameters`` (home, inbox, ...) become defaults of every deployment that takes them; ``cron`` and ``timezone``
    replace the nightly schedule of the file. Raises :class:`UserError` when the file or the server is not there.
    """
    if not prefect_file.is_file():
        raise UserError(f"{prefect_file} is not there. Run from the project's folder, or give --prefect-file.")
    if "PREFECT_API_URL" not in os.environ:
        raise UserError("PREFECT_API_URL is not set. Start `prefect server start` and set it, or use `marrow serve`.")
    read_secret_files()
    import asyncio

    asyncio.run(_deploy(prefect_file, parameters, cron, timezone))


async def _deploy(prefect_file: Path, parameters: dict[str, Any], cron: str | None, timezone: str | None) -> None:
    import yaml
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        await _store_pool(client)
    ids = {}
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
        ids[entry["name"]] = await deployment.aapply()
    if RECONCILE in ids:
        async with get_client() as client:
            await store_automations(client, ids[RECONCILE])


async def _store_pool(client: Any) -> None:
    """The pool and its two queues. What runs beside each other is limited by queue."""
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    try:
        pool = await client.read_work_pool(POOL)
        if pool.concurrency_limit is not None:  # made by an earlier Marrow
            await client.update_work_pool(POOL, WorkPoolUpdate(concurrency_limit=None))
    except ObjectNotFound:
        await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    for name in (NIGHT_QUEUE, WATCH_QUEUE):
        try:
            queue = await client.read_work_queue_by_name(name, work_pool_name=POOL)
            await client.update_work_queue(queue.id, concurrency_limit=1)
        except ObjectNotFound:
            await client.create_work_queue(name, concurrency_limit=1, work_pool_name=POOL)


def serve(home: Path, *, parameters: dict[str, Any], cron: str, timezone: str, err: Console) -> None:
    """Run the schedule in this process until it is stopped, starting a Prefect server on loopback if none is named.

    One flow run at a time; each is a process of its own, so that a crash of one never stops the schedule.
    """
    prepare_prefect(home)
    with prefect_server(Home(home).prefect_password, err):
        import asyncio

        from prefect.exceptions import TerminationSignal
        from prefect.runner import Runner

        # A restart of this service must not pause the schedule. One night at a time, and the reconciler beside it.
        runner = Runner(pause_on_shutdown=False, limit=2)
        for name in (*SERVED, RECONCILE):
            runner.add_deployment(_served(name, parameters, cron, timezone))
        # Only now, so that whoever waits for this line finds the deployments (`prefect.serve` cannot say it between).
        err.print(f"Serving; the night begins by cron {cron!r} in {timezone}. Prefect: {os.environ['PREFECT_API_URL']}")
        with contextlib.suppress(KeyboardInterrupt, TerminationSignal):
            asyncio.run(runner.start())


def _served(name: str, parameters: dict[str, Any], cron: str, timezone: str) -> Any:
    flow = _flow(f"flows.nightly.{name}" if name in SERVED else f"flows.reconcile.{name}")
    own = {k: v for k, v in parameters.items() if k in flow.parameters.properties}
    schedules = {"nightly": _cron(cron, timezone), RECONCILE: _interval(RECONCILE_EVERY_S)}
    return flow.to_deployment(
        name=name,
        parameters=own | ({"trigger": "schedule"} if name == "nightly" else {}),
        schedule=schedules.get(name),
        concurrency_limit=_concurrency(
            {"limit": 1, "collision_strategy": "CANCEL_NEW" if name == RECONCILE else "ENQUEUE"}
        ),
        tags=[TAG if name in SERVED else f"{TAG}-watch"],
        entrypoint_type=_module_path(),
    )


def _flow(entrypoint: str) -> Any:
    import importlib

    module, _, name = entrypoint.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _schedule(entry: dict[str, Any], cron: str | None, timezone: str | None) -> Any:
    if "interval" in entry:
        return _interval(entry["interval"])
    return _cron(cron or entry["cron"], timezone or entry["timezone"])


def _cron(cron: str, timezone: str) -> Any:
    from prefect.schedules import Cron

    try:
        return Cron(cron, timezone=timezone)
    except ValueError as error:
        raise UserError(f"The schedule {cron!r} in {timezone!r} is not valid: {error}") from None


def _interval(seconds: float) -> Any:
    from prefect.schedules import Interval

    return Interval(timedelta(seconds=seconds))


def _concurrency(entry: dict[str, Any]) -> Any:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig

    return ConcurrencyLimitConfig(**entry)


def _module_path() -> Any:
    from prefect.types.entrypoint import EntrypointType

    return EntrypointType.MODULE_PATH
