"""The ledger: each slide's state in each run. It is the truth; an orchestrator's view of its tasks is not.

A run accounts for every slide it discovered: done, in quarantine with a reason, or deferred with one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from marrow_models.errors import NightFailed, Reason, WarehouseError
from warehouse.clock import aware_utc, naive_utc, utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from warehouse.connection import Database, Row, Warehouse


class State(StrEnum):
    """Where a slide is on its way, in the order of the stages; the last three end it."""

    DISCOVERED = "discovered"
    INGESTED = "ingested"
    SURVEYED = "surveyed"
    ANALYSED = "analysed"
    VALIDATED = "validated"
    LOADED = "loaded"
    DONE = "done"
    QUARANTINED = "quarantined"
    DEFERRED = "deferred"


REFUSED = frozenset({State.QUARANTINED, State.DEFERRED})
TERMINAL = REFUSED | {State.DONE}
_WAY = (State.DISCOVERED, State.INGESTED, State.SURVEYED, State.ANALYSED, State.VALIDATED, State.LOADED, State.DONE)

ALLOWED: dict[State | None, frozenset[State]] = {
    None: frozenset({State.DISCOVERED}),
    # An unchanged slide is done at once: its result is in the warehouse.
    State.DISCOVERED: frozenset({State.DISCOVERED, State.INGESTED, State.DONE}) | REFUSED,
    **{here: frozenset({State.DISCOVERED, onward}) | REFUSED for here, onward in pairwise(_WAY[1:])},
    **{state: frozenset() for state in TERMINAL},
}
"""From which state which may follow within a run. Back to discovered is another attempt."""


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """A state that a slide entered."""

    run_id: str
    slide_id: str
    attempt: int
    state: State
    reason: Reason | None
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class NightCounts:
    """How the slides of a run stand."""

    discovered: int
    done: int
    quarantined: int
    deferred: int
    unaccounted: tuple[str, ...]
    """Slides that are in none of the three last states."""


def record(
    warehouse: Warehouse,
    run_id: str,
    slide_id: str,
    state: State,
    *,
    reason: Reason | None = None,
    detail: str = "",
    at: datetime | None = None,
) -> LedgerEvent:
    """Add that a slide entered ``state`` in a run, and return the event.

    ``slide_id`` is the slide, or ``e`` and a keyed hash for an inbox entry whose content was never taken.
    WarehouseError when the run is not running, the state cannot follow the last one, or a quarantine or
    deferral has no reason (any other state has none). ``detail`` holds no name and no path.
    """
    if (reason is not None) != (state in REFUSED):
        raise WarehouseError(f"state {state} {'needs a' if state in REFUSED else 'has no'} reason.")
    with warehouse.transaction():
        run = warehouse.row("run", run_id=run_id)
        if run is None or run["state"] != "running":
            raise WarehouseError(f"run {run_id} is not running: nothing can be added to its ledger.")
        last = warehouse.row("ledger_state", run_id=run_id, slide_id=slide_id)
        before = State(last["state"]) if last else None
        if state not in ALLOWED[before]:
            raise WarehouseError(f"slide {slide_id} cannot go from {before or 'nothing'} to {state} in run {run_id}.")
        attempt = (last["attempt"] if last else 0) + (1 if state is State.DISCOVERED else 0)
        event = LedgerEvent(run_id, slide_id, attempt, state, reason, detail, at or utc_now())
        warehouse.run(
            "insert_ledger_event",
            run_id=run_id,
            slide_id=slide_id,
            attempt=attempt,
            state=state.value,
            reason=reason.value if reason else None,
            detail=detail or None,
            at=naive_utc(event.at),
        )
    return event


def states(database: Database, run_id: str) -> dict[str, LedgerEvent]:
    """The last event of each slide of a run."""
    return {row["slide_id"]: _event(row) for row in database.rows("ledger_states", run_id=run_id)}


def history(database: Database, slide_id: str) -> list[LedgerEvent]:
    """Everything that happened to a slide in all runs, oldest first."""
    return [_event(row) for row in database.rows("ledger_history", slide_id=slide_id)]


def count_states(database: Database, run_id: str) -> NightCounts:
    """How the slides of a run stand now."""
    last = states(database, run_id)
    by_state = [event.state for event in last.values()]
    return NightCounts(
        len(last),
        by_state.count(State.DONE),
        by_state.count(State.QUARANTINED),
        by_state.count(State.DEFERRED),
        tuple(slide_id for slide_id, event in last.items() if event.state not in TERMINAL),
    )


def reconcile(database: Database, run_id: str, *, discovered: int | None = None) -> NightCounts:
    """The counts of a run of which every slide is accounted for.

    NightFailed unless done + quarantined + deferred = discovered, and, where the caller says how many entries
    it found (``discovered``), unless the ledger has as many.
    """
    counts = count_states(database, run_id)
    if counts.unaccounted:
        shown = ", ".join(counts.unaccounted[:5])
        raise NightFailed(
            f"{len(counts.unaccounted)} of {counts.discovered} slides are neither done nor refused: {shown}."
        )
    if discovered is not None and discovered != counts.discovered:
        raise NightFailed(f"the inbox had {discovered} slides, the ledger has {counts.discovered}.")
    return counts


def release(warehouse: Warehouse, slide_id: str, *, at: datetime | None = None) -> None:
    """Let a slide out of quarantine, so that the next run tries it again. WarehouseError when it is not there."""
    with warehouse.transaction():
        standing = {row["slide_id"] for row in warehouse.rows("quarantine") if not row["released"]}
        if slide_id not in standing:
            raise WarehouseError(f"slide {slide_id} is not in quarantine: see `marrow quarantine list`.")
        warehouse.run("insert_quarantine_release", slide_id=slide_id, released_at=naive_utc(at or utc_now()))


def _event(row: Row) -> LedgerEvent:
    return LedgerEvent(
        row["run_id"],
        row["slide_id"],
        row["attempt"],
        State(row["state"]),
        Reason(row["reason"]) if row["reason"] else None,
        row["detail"] or "",
        aware_utc(row["entered_at"]),
    )
