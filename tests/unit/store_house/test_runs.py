"""Runs begin, end, and are found dead."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from marrow_models.errors import Reason, WarehouseError
from tests.unit.store_house.factories import START, run_record, walk
from warehouse.ledger import State, record
from warehouse.read import latest_run, run_of
from warehouse.records import StageTime
from warehouse.runs import RunState, close_crashed_runs, finish_run, record_stage_times, start_run

if TYPE_CHECKING:
    from warehouse.connection import Warehouse


def test_a_run_ends_with_the_counts_of_its_ledger(warehouse: Warehouse) -> None:
    walk(warehouse, "s1")
    record(warehouse, "night-1", "s2", State.DISCOVERED)
    record(warehouse, "night-1", "s2", State.DEFERRED, reason=Reason.STILL_COPYING)
    finish_run(warehouse, "night-1", RunState.DONE, at=START + timedelta(minutes=5))
    run = run_of(warehouse, "night-1")
    assert run is not None
    assert (run.state, run.discovered, run.done, run.quarantined, run.deferred) == ("done", 2, 1, 0, 1)
    assert run.started_at == START
    assert run.finished_at == START + timedelta(minutes=5)


def test_a_run_id_is_used_once(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="night-1 is in the ledger already"):
        start_run(warehouse, run_record())


@pytest.mark.parametrize("run_id", ["night-1", "night-9"])
def test_only_a_running_run_ends(warehouse: Warehouse, run_id: str) -> None:
    finish_run(warehouse, "night-1", RunState.FAILED)
    with pytest.raises(WarehouseError, match="not running"):
        finish_run(warehouse, run_id, RunState.DONE)


def test_a_run_left_running_is_found_dead(warehouse: Warehouse) -> None:
    walk(warehouse, "s1", until=State.INGESTED)
    assert close_crashed_runs(warehouse) == ("night-1",)
    assert close_crashed_runs(warehouse) == ()
    run = latest_run(warehouse)
    assert run is not None
    assert (run.state, run.discovered, run.done) == ("crashed", 1, 0)


def test_times_are_stored_in_utc(warehouse: Warehouse) -> None:
    summer = timezone(timedelta(hours=2))
    start_run(warehouse, run_record("berlin", started_at=datetime(2026, 7, 1, 2, 30, tzinfo=summer)))
    row = warehouse.rows("run", run_id="berlin")[0]
    assert row["started_at"] == datetime(2026, 7, 1, 0, 30)  # noqa: DTZ001 - as the column holds it


def test_a_time_without_a_zone_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(ValueError, match="zone"):
        start_run(warehouse, run_record("n", started_at=datetime(2026, 7, 1)))  # noqa: DTZ001 - that is the fault


def test_settings_are_kept_as_json(warehouse: Warehouse) -> None:
    start_run(warehouse, run_record("n2", settings={"b": 1, "a": ["x"]}))
    assert json.loads(warehouse.rows("run", run_id="n2")[0]["settings"]) == {"a": ["x"], "b": 1}


def test_stage_times_add_up_in_the_nights_table(warehouse: Warehouse) -> None:
    walk(warehouse, "s1", until=State.INGESTED)
    record_stage_times(
        warehouse,
        [
            StageTime("night-1", "s1", "ingest", START, 2.0),
            StageTime("night-1", "s1", "survey", START, 0.5),
            StageTime("night-1", None, "publish", START, 9.0),
        ],
    )
    assert warehouse.rows("night_table", run_id="night-1")[0]["seconds"] == 2.5


def test_no_stage_times_are_no_error(warehouse: Warehouse) -> None:
    record_stage_times(warehouse, [])
    assert warehouse.count("stage_time") == 0
