"""Automations that `marrow deploy` creates on the Prefect server: a dead or late night is seen without a person.

They help the reconciler, which does not need them: a server can only miss a heartbeat that it has seen once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

TAG = "marrow"
HEARTBEAT_LOST = timedelta(seconds=540)
"""Three of Prefect's heartbeats (180 s): one that is lost on the way is no death."""
ENDED = ("Completed", "Failed", "Cancelled", "Crashed")

HEARTBEAT = "marrow: a night without heartbeat has crashed"
CRASHED = "marrow: a crashed night is put right"
LATE = "marrow: a late night is looked into"


async def store_automations(client: PrefectClient, reconcile_deployment: UUID) -> None:
    """Create the automations, or bring those of the same names up to date; there is one of each afterwards."""
    for automation in _automations(reconcile_deployment):
        same = await client.read_automations_by_name(automation.name)
        if same:
            await client.update_automation(same[0].id, automation)
        else:
            await client.create_automation(automation)
        for extra in same[1:]:
            await client.delete_automation(extra.id)


def _automations(reconcile_deployment: UUID) -> list[Any]:
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState, RunDeployment
    from prefect.events.schemas.automations import AutomationCore

    said = f"No heartbeat for {HEARTBEAT_LOST.total_seconds():.0f} s."
    crash = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=said, force=True)
    look = RunDeployment(source="selected", deployment_id=reconcile_deployment, parameters=None, job_variables=None)
    return [
        AutomationCore(
            name=HEARTBEAT,
            description="A flow run of Marrow whose heartbeat stops is set to Crashed, which frees its slot.",
            trigger=_heartbeat_lost(),
            actions=[crash],
        ),
        AutomationCore(
            name=CRASHED,
            description="A crashed flow run of Marrow is closed in the ledger and resumed by the reconciler.",
            trigger=_happened("prefect.flow-run.Crashed"),
            actions=[look],
        ),
        AutomationCore(
            name=LATE,
            description="A late flow run of Marrow: the reconciler looks whether a dead one keeps its slot.",
            trigger=_happened("prefect.flow-run.Late"),
            actions=[look],
        ),
    ]


def _heartbeat_lost() -> Any:
    from prefect.events.schemas.automations import EventTrigger, Posture

    heartbeat = "prefect.flow-run.heartbeat"
    return EventTrigger(
        match=_flow_runs(),
        match_related=_of_marrow(),
        for_each={"prefect.resource.id"},
        after={heartbeat},
        expect={heartbeat, *(f"prefect.flow-run.{state}" for state in ENDED)},
        posture=Posture.Proactive,
        threshold=1,
        within=HEARTBEAT_LOST,
    )


def _happened(event: str) -> Any:
    from prefect.events.schemas.automations import EventTrigger, Posture

    return EventTrigger(
        match=_flow_runs(),
        match_related=_of_marrow(),
        for_each={"prefect.resource.id"},
        expect={event},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )


def _flow_runs() -> Any:
    from prefect.events.schemas.events import ResourceSpecification

    return ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})


def _of_marrow() -> Any:
    """The reconciler itself has another tag, so that its own crash calls nobody."""
    from prefect.events.schemas.events import ResourceSpecification

    return ResourceSpecification({"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"})
