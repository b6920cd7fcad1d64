"""Runs: when a night began, how it ended, and the nights whose process died."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

import pyarrow as pa

from marrow_models.errors import WarehouseError
from warehouse.clock import naive_utc, utc_now
from warehouse.ledger import count_states

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from warehouse.connection import Warehouse
    from warehouse.records import RunRecord, StageTime


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    DONE = "done"
    DONE_WITH_QUARANTINE = "done_with_quarantine"
    FAILED = "failed"
    CRASHED = "crashed"


def close_crashed_runs(warehouse: Warehouse, *, at: datetime | None = None) -> tuple[str, ...]:
    """Mark the runs that still say "running" as crashed, and return their ids.

    Their processes are dead: this one holds the writer's lock, which the kernel frees only then.
    """
    with warehouse.transaction():
        dead = tuple(row["run_id"] for row in warehouse.rows("running_runs"))
        for run_id in dead:
            finish_run(warehouse, run_id, RunState.CRASHED, at=at)
    return dead


def start_run(warehouse: Warehouse, run: RunRecord) -> None:
    """Store a run that starts now. WarehouseError when the id was used before."""
    with warehouse.transaction():
        if warehouse.row("run", run_id=run.run_id):
            raise WarehouseError(f"run {run.run_id} is in the ledger already: choose another id.")
        warehouse.run(
            "insert_run",
            run_id=run.run_id,
            started_at=naive_utc(run.started_at),
            trigger=run.trigger,
            code_version=run.code_version,
            settings=json.dumps(dict(run.settings), sort_keys=True, default=str),
        )


def finish_run(warehouse: Warehouse, run_id: str, state: RunState, *, at: datetime | None = None) -> None:
    """Store how a run ended, with its counts by the ledger. WarehouseError unless it is running."""
    with warehouse.transaction():
        run = warehouse.row("run", run_id=run_id)
        if run is None or run["state"] != RunState.RUNNING:
            raise WarehouseError(f"run {run_id} is not running: its end cannot be stored.")
        counts = count_states(warehouse, run_id)
        warehouse.run(
            "finish_run",
            run_id=run_id,
            state=state.value,
            finished_at=naive_utc(at or utc_now()),
            discovered=counts.discovered,
            done=counts.done,
            quarantined=counts.quarantined,
            deferred=counts.deferred,
        )


def flow_run_of(warehouse: Warehouse, run_id: str) -> str | None:
    """The orchestrator's id of a run; None where it had none."""
    row = warehouse.row("flow_run_of", run_id=run_id)
    return row["flow_run"] if row else None


def fail_run(warehouse: Warehouse, run_id: str) -> None:
    """Store that a run which had ended well could not be published: it failed after all."""
    with warehouse.transaction():
        run = warehouse.row("run", run_id=run_id)
        if run is None:
            raise WarehouseError(f"run {run_id} is not in the ledger.")
        warehouse.run("fail_run", run_id=run_id)


def record_stage_times(warehouse: Warehouse, times: Sequence[StageTime]) -> None:
    """Store how long stages took."""
    table = pa.table(
        {
            "run_id": pa.array([t.run_id for t in times], pa.string()),
            "slide_id": pa.array([t.slide_id for t in times], pa.string()),
            "stage": pa.array([t.stage for t in times], pa.string()),
            "started_at": pa.array([naive_utc(t.started_at) for t in times], pa.timestamp("us")),
            "seconds": pa.array([t.seconds for t in times], pa.float64()),
        }
    )
    with warehouse.transaction():
        warehouse.insert("insert_stage_times", table)
