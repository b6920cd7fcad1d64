"""The ledger accounts for every slide, whatever happened to it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from marrow_models.errors import NightFailed, Reason, WarehouseError
from tests.unit.store_house.factories import START, WAY, run_record, walk
from warehouse.connection import Warehouse
from warehouse.fence import fence_file, raise_fence
from warehouse.ledger import (
    ALLOWED,
    REFUSED,
    TERMINAL,
    State,
    count_states,
    history,
    reconcile,
    record,
    release,
    states,
)
from warehouse.migrate import migrate
from warehouse.quarantine import quarantine_table
from warehouse.runs import RunState, finish_run, start_run


def reason_for(state: State) -> Reason | None:
    return Reason.TIMEOUT if state in REFUSED else None


def test_a_slide_goes_all_the_way(warehouse: Warehouse) -> None:
    walk(warehouse, "s1")
    assert [event.state for event in history(warehouse, "s1")] == list(WAY)
    assert states(warehouse, "night-1")["s1"].state is State.DONE


def test_an_event_keeps_its_reason_detail_and_time(warehouse: Warehouse) -> None:
    record(warehouse, "night-1", "s1", State.DISCOVERED)
    said = record(
        warehouse, "night-1", "s1", State.QUARANTINED, reason=Reason.BAD_MPP, detail="x and y differ", at=START
    )
    assert history(warehouse, "s1")[-1] == said
    assert (said.reason, said.detail, said.at) == (Reason.BAD_MPP, "x and y differ", START)


@pytest.mark.parametrize("state", [s for s in State if s is not State.DISCOVERED])
def test_a_slide_begins_as_discovered(warehouse: Warehouse, state: State) -> None:
    with pytest.raises(WarehouseError, match="cannot go from nothing"):
        record(warehouse, "night-1", "s1", state, reason=reason_for(state))
    assert history(warehouse, "s1") == []


@pytest.mark.parametrize("end", sorted(TERMINAL))
@pytest.mark.parametrize("then", list(State))
def test_what_has_ended_stays_ended_in_its_run(warehouse: Warehouse, end: State, then: State) -> None:
    record(warehouse, "night-1", "s1", State.DISCOVERED)
    record(warehouse, "night-1", "s1", end, reason=reason_for(end))
    with pytest.raises(WarehouseError, match=f"cannot go from {end}"):
        record(warehouse, "night-1", "s1", then, reason=reason_for(then))


def test_no_stage_is_skipped(warehouse: Warehouse) -> None:
    walk(warehouse, "s1", until=State.INGESTED)
    with pytest.raises(WarehouseError, match="cannot go from ingested to loaded"):
        record(warehouse, "night-1", "s1", State.LOADED)


def test_an_unchanged_slide_is_done_at_once(warehouse: Warehouse) -> None:
    record(warehouse, "night-1", "s1", State.DISCOVERED)
    record(warehouse, "night-1", "s1", State.DONE)
    assert reconcile(warehouse, "night-1").done == 1


def test_beginning_again_is_another_attempt(warehouse: Warehouse) -> None:
    walk(warehouse, "s1", until=State.SURVEYED)
    assert record(warehouse, "night-1", "s1", State.DISCOVERED).attempt == 2
    assert record(warehouse, "night-1", "s1", State.INGESTED).attempt == 2


@pytest.mark.parametrize("state", sorted(REFUSED))
def test_a_refusal_has_a_reason(warehouse: Warehouse, state: State) -> None:
    record(warehouse, "night-1", "s1", State.DISCOVERED)
    with pytest.raises(WarehouseError, match="needs a reason"):
        record(warehouse, "night-1", "s1", state)


def test_any_other_state_has_none(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="has no reason"):
        record(warehouse, "night-1", "s1", State.DISCOVERED, reason=Reason.TIMEOUT)


def test_nothing_is_added_to_a_run_that_ended_or_never_was(warehouse: Warehouse) -> None:
    finish_run(warehouse, "night-1", RunState.DONE)
    for run_id in ("night-1", "night-9"):
        with pytest.raises(WarehouseError, match=f"{run_id} is not running"):
            record(warehouse, run_id, "s1", State.DISCOVERED)


def test_a_night_with_a_slide_on_its_way_fails(warehouse: Warehouse) -> None:
    walk(warehouse, "s1")
    walk(warehouse, "s2", until=State.ANALYSED)
    with pytest.raises(NightFailed, match=r"1 of 2 slides .*: s2"):
        reconcile(warehouse, "night-1")


def test_a_night_whose_ledger_lacks_a_slide_fails(warehouse: Warehouse) -> None:
    walk(warehouse, "s1")
    assert reconcile(warehouse, "night-1", discovered=1).done == 1
    with pytest.raises(NightFailed, match="inbox had 2 slides, the ledger has 1"):
        reconcile(warehouse, "night-1", discovered=2)


def test_each_run_has_its_own_account(warehouse: Warehouse) -> None:
    walk(warehouse, "s1", until=State.SURVEYED)
    finish_run(warehouse, "night-1", RunState.FAILED)
    start_run(warehouse, run_record("night-2"))
    walk(warehouse, "s1", run_id="night-2")
    assert reconcile(warehouse, "night-2").done == 1
    assert count_states(warehouse, "night-1").unaccounted == ("s1",)
    assert len(history(warehouse, "s1")) == 3 + len(WAY)


def test_a_slide_leaves_quarantine_by_hand_and_may_come_back(warehouse: Warehouse) -> None:
    record(warehouse, "night-1", "s1", State.DISCOVERED)
    record(warehouse, "night-1", "s1", State.QUARANTINED, reason=Reason.WORKER_DIED)
    assert [row.released for row in quarantine_table(warehouse)] == [False]
    release(warehouse, "s1")
    assert [row.released for row in quarantine_table(warehouse)] == [True]
    with pytest.raises(WarehouseError, match="not in quarantine"):
        release(warehouse, "s1")
    finish_run(warehouse, "night-1", RunState.DONE_WITH_QUARANTINE)
    start_run(warehouse, run_record("night-2"))
    record(warehouse, "night-2", "s1", State.DISCOVERED)
    assert quarantine_table(warehouse) == []
    record(warehouse, "night-2", "s1", State.QUARANTINED, reason=Reason.TIMEOUT)
    assert [(row.reason, row.released) for row in quarantine_table(warehouse)] == [("TIMEOUT", False)]


def test_a_slide_that_is_not_in_quarantine_cannot_be_released(warehouse: Warehouse) -> None:
    walk(warehouse, "s1")
    with pytest.raises(WarehouseError, match="not in quarantine"):
        release(warehouse, "s1")


class Nights(RuleBasedStateMachine):
    """Slides in any order, with kills between, over several runs: nothing is lost, nothing ends twice."""

    def __init__(self) -> None:
        super().__init__()
        connection = duckdb.connect(":memory:")
        migrate(connection)
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "marrow.duckdb"
        self.warehouse = Warehouse(connection, path, raise_fence(fence_file(path), 0))
        self.runs = 0
        self.model: dict[str, State] = {}
        self.events = 0

    @initialize()
    def first_night(self) -> None:
        self._start()

    def _start(self) -> None:
        self.runs += 1
        self.model = {}
        start_run(self.warehouse, run_record(f"n{self.runs}"))

    @rule(slide=st.sampled_from("abcd"), state=st.sampled_from(list(State)))
    def enter(self, slide: str, state: State) -> None:
        if state in ALLOWED[self.model.get(slide)]:
            record(self.warehouse, f"n{self.runs}", slide, state, reason=reason_for(state))
            self.model[slide] = state
            self.events += 1
        else:
            with pytest.raises(WarehouseError):
                record(self.warehouse, f"n{self.runs}", slide, state, reason=reason_for(state))

    @rule()
    def die_and_start_again(self) -> None:
        finish_run(self.warehouse, f"n{self.runs}", RunState.CRASHED)
        self._start()

    @invariant()
    def every_slide_is_accounted_for(self) -> None:
        if not self.runs:
            return
        counts = count_states(self.warehouse, f"n{self.runs}")
        assert counts.discovered == len(self.model)
        ended = counts.done + counts.quarantined + counts.deferred
        assert ended + len(counts.unaccounted) == counts.discovered
        assert self.warehouse.count("ledger_event") == self.events
        if counts.unaccounted:
            with pytest.raises(NightFailed):
                reconcile(self.warehouse, f"n{self.runs}")
        else:
            assert reconcile(self.warehouse, f"n{self.runs}") == counts

    def teardown(self) -> None:
        with self.warehouse.exclusive() as connection:
            connection.close()
        self.folder.cleanup()


Nights.TestCase.settings = settings(
    max_examples=5, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
test_nights = Nights.TestCase
