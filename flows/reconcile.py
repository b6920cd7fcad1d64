"""The reconciler: finds runs whose process is gone, closes them, frees their slot, and asks for a resume.

It needs no heartbeat. The ledger's run is dead when nobody holds the writer's lock; a flow run is dead when nobody
holds its sign of life (:mod:`flows.alive`), or when it has left none for longer than a start takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow

from flows.alive import Life, forget, life_of
from marrow_models.errors import UserError, WarehouseHeld
from tasks.home import Home
from warehouse import runs
from warehouse.connection import open_warehouse

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

FLOWS = ("nightly", "ingest", "analyse", "publish")
"""Flows that work on a home."""
START_TAKES = timedelta(minutes=3)
"""A run that is running for longer and left no sign of life was killed before it could begin."""
PENDING_TAKES = timedelta(minutes=5)
"""A run that is pending for longer has lost the worker that took it."""
RESUME_TAG = "marrow-resume-"
RESUMES = 2
"""How often a run is resumed whose process keeps dying."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One thing that was put right."""

    what: str
    """``run`` (of the ledger) or ``flow run`` (of Prefect)."""
    run: str
    action: str


@flow(name="reconcile", persist_result=False)
def reconcile(home: Path | None = None, resumes: int = RESUMES) -> int:
    """Put right what dead runs left behind; the number of things that were."""
    from flows.settings import load_settings

    return len(reconcile_home(load_settings(home=home).home, resumes=resumes))


def reconcile_home(home: Path, *, resumes: int = RESUMES, with_server: bool = True) -> list[Reconciled]:
    """Put right what dead runs of ``home`` left behind. A second call finds nothing left to do.

    ``with_server`` says whether there is a Prefect server to put right as well. Raises :class:`UserError` when it
    does not answer; the ledger is right by then.
    """
    place = Home(home.absolute())
    closed = _close_runs(place)
    done = [Reconciled("run", run_id, "closed as crashed") for run_id in closed]
    return done + (_free_slots(place, [f for f in closed.values() if f], resumes) if with_server else [])


def _close_runs(place: Home) -> dict[str, str | None]:
    """Close the ledger's dead runs; their ids, each with its flow run's."""
    if not place.warehouse.is_file():
        return {}
    try:
        with open_warehouse(place.warehouse) as warehouse:
            return {run_id: runs.flow_run_of(warehouse, run_id) for run_id in runs.close_crashed_runs(warehouse)}
    except WarehouseHeld:
        return {}


def _free_slots(place: Home, of_closed: list[str], resumes: int) -> list[Reconciled]:
    import httpx
    from prefect.client.orchestration import get_client

    done: list[Reconciled] = []
    try:
        with get_client(sync_client=True) as client:
            for run in _candidates(client, place, of_closed):
                if not run.state or not run.state.is_final():
                    _crash(client, run)
                    done.append(Reconciled("flow run", str(run.id), "set to Crashed"))
                if _resume(client, run, resumes):
                    done.append(Reconciled("flow run", str(run.id), "a resume was asked for"))
                forget(place, str(run.id))
    except httpx.HTTPError as error:
        raise UserError(
            f"The Prefect server did not answer ({type(error).__name__}). Is PREFECT_API_URL right?"
        ) from None
    return done


def _candidates(client: SyncPrefectClient, place: Home, of_closed: list[str]) -> list[FlowRun]:
    """Flow runs of this home that are dead, and those that a dead run of the ledger belongs to."""
    from uuid import UUID

    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterName,
        FlowRunFilter,
        FlowRunFilterId,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    unsettled = [StateType.RUNNING, StateType.CANCELLING, StateType.PENDING]
    by_state = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=unsettled)))
    ours = FlowFilter(name=FlowFilterName(any_=list(FLOWS)))
    found = {
        run.id: run for run in client.read_flow_runs(flow_filter=ours, flow_run_filter=by_state) if _dead(run, place)
    }
    if of_closed:
        by_id = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(flow_run) for flow_run in of_closed]))
        closed = client.read_flow_runs(flow_run_filter=by_id)
        found |= {run.id: run for run in closed if life_of(place, str(run.id)) is not Life.ALIVE}
    return list(found.values())


def _dead(run: FlowRun, place: Home) -> bool:
    home: Any = run.parameters.get("home")
    if home is None or Path(home).absolute() != place.root:
        return False
    life = life_of(place, str(run.id))
    if life is not Life.UNKNOWN or run.state is None:
        return life is Life.DEAD
    takes = PENDING_TAKES if run.state.is_pending() else START_TAKES
    return datetime.now(UTC) - run.state.timestamp > takes


def _crash(client: SyncPrefectClient, run: FlowRun) -> None:
    from prefect.states import Crashed

    client.set_flow_run_state(run.id, Crashed(message="Its process is gone; found by the reconciler."), force=True)


def _resume(client: SyncPrefectClient, run: FlowRun, resumes: int) -> bool:
    """Ask for the same run again, at most ``resumes`` times in a row; whether that was new."""
    before = max((int(t.removeprefix(RESUME_TAG)) for t in run.tags if t.startswith(RESUME_TAG)), default=0)
    crashed_or_open = run.state is None or run.state.is_crashed() or not run.state.is_final()
    if run.deployment_id is None or before >= resumes or not crashed_or_open:
        return False
    tags = [tag for tag in run.tags if not tag.startswith(RESUME_TAG)]
    asked = client.create_flow_run_from_deployment(
        run.deployment_id,
        parameters=run.parameters,
        tags=[*tags, f"{RESUME_TAG}{before + 1}"],
        idempotency_key=f"resume-{run.id}",
    )
    return asked.created is None or datetime.now(UTC) - asked.created < timedelta(minutes=1)
