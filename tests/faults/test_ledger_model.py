"""R1, R3, R5: the ledger in the hands of everybody at once. Nights, crashes, retries, quarantine, releases and loads in
any order against the real warehouse file; a plain model says what must be refused and what must be there.

Kills of real processes: test_killed_writer, test_chaos. A crash is here a writer that leaves its run open.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from marrow_models.errors import NightFailed, Reason, SlideRefused, WarehouseError
from tests.unit.store_house.factories import (
    START,
    analysis_record,
    begin_night,
    cell_table,
    run_record,
    slide_record,
)
from warehouse.connection import Warehouse, open_warehouse
from warehouse.integrity import faults
from warehouse.ledger import State, count_states, history, reconcile, record, release, states
from warehouse.load import load_slide
from warehouse.quarantine import held, quarantine_table
from warehouse.runs import RunState, close_crashed_runs, fail_run, finish_run, start_run

SLIDES = ("s1", "s2", "s3")
NUMBERS = st.integers(1, 4)
NEXT = {
    "": {"discovered"},
    "discovered": {"discovered", "ingested", "done", "quarantined", "deferred"},
    "ingested": {"discovered", "surveyed", "quarantined", "deferred"},
    "surveyed": {"discovered", "analysed", "quarantined", "deferred"},
    "analysed": {"discovered", "validated", "quarantined", "deferred"},
    "validated": {"discovered", "loaded", "quarantined", "deferred"},
    "loaded": {"discovered", "done", "quarantined", "deferred"},
}
"""What may follow what, written down once more: the test does not ask the code for its own rules. Nothing follows the
last states."""
ENDED = ("done", "quarantined", "deferred")


@dataclass
class Run:
    """What the model knows of a run."""

    state: str = "running"
    last: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)

    def counts(self) -> tuple[int, int, int, int]:
        ends = list(self.last.values())
        return len(ends), *(ends.count(end) for end in ENDED)


class Books(RuleBasedStateMachine):
    """Everything that can happen to slides, in any order."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "marrow.duckdb"
        shutil.copyfile(self.template, self.path)
        self.minutes = 0
        self.runs: dict[str, Run] = {"night-1": Run()}
        self.events: dict[str, list[tuple[str, str, int]]] = {slide: [] for slide in SLIDES}
        self.results: dict[str, tuple[str, int]] = {}
        """Result key to its slide and number of cells."""
        self.current: dict[str, str] = {}
        self.ill: dict[str, bool] = {}
        """Slides in quarantine, and whether they were released."""
        self._open()

    def _open(self) -> None:
        self.stack = ExitStack()
        self.warehouse: Warehouse = self.stack.enter_context(open_warehouse(self.path))

    @rule(tidies=st.booleans())
    def the_writer_goes_away_and_the_next_one_comes(self, tidies: bool) -> None:
        """The run that was left open is still running until the next writer closes it."""
        self.stack.close()
        self._open()
        if not tidies:
            return
        dead = tuple(run_id for run_id, run in self.runs.items() if run.state == "running")
        assert close_crashed_runs(self.warehouse, at=self._now()) == dead
        for run_id in dead:
            self.runs[run_id].state = "crashed"

    @precondition(lambda self: self._running is not None)
    @rule(slide=st.sampled_from(SLIDES))
    def a_transaction_is_cut_off_half_way(self, slide: str) -> None:
        """Whatever a block did before it was cut off is not there."""
        if self.runs[self._running].last.get(slide, "") in ENDED:
            return
        with suppress(KeyboardInterrupt), self.warehouse.transaction():
            record(self.warehouse, self._running, slide, State.DISCOVERED, at=self._now())
            raise KeyboardInterrupt

    def _now(self) -> datetime:
        self.minutes += 1
        return START + timedelta(minutes=self.minutes)

    @property
    def _running(self) -> str | None:
        return next((run_id for run_id, run in self.runs.items() if run.state == "running"), None)

    @rule(number=NUMBERS)
    def start(self, number: int) -> None:
        run_id = f"night-{number}"
        if run_id in self.runs:
            with pytest.raises(WarehouseError, match="another id"):
                start_run(self.warehouse, run_record(run_id, started_at=self._now()))
        elif self._running is None:  # the lock allows one writer, and a writer one run
            start_run(self.warehouse, run_record(run_id, started_at=self._now()))
            self.runs[run_id] = Run()

    @rule(number=NUMBERS, state=st.sampled_from([RunState.DONE, RunState.FAILED]))
    def finish(self, number: int, state: RunState) -> None:
        run_id = f"night-{number}"
        run = self.runs.get(run_id)
        if run is None or run.state != "running":
            with pytest.raises(WarehouseError, match="is not running"):
                finish_run(self.warehouse, run_id, state)
            return
        found, done, ill, later = run.counts()
        if state is RunState.DONE and found != done + ill + later:
            with pytest.raises(NightFailed, match="neither done nor refused"):
                reconcile(self.warehouse, run_id, discovered=found)
            state = RunState.FAILED  # as a night does that does not add up
        elif state is RunState.DONE:
            with pytest.raises(NightFailed, match="the inbox had"):
                reconcile(self.warehouse, run_id, discovered=found + 1)
            assert reconcile(self.warehouse, run_id, discovered=found).done == done
        finish_run(self.warehouse, run_id, state, at=self._now())
        run.state = state.value

    @precondition(lambda self: any(run.state == "done" for run in self.runs.values()))
    @rule()
    def a_publication_fails(self) -> None:
        run_id = next(run_id for run_id, run in self.runs.items() if run.state == "done")
        fail_run(self.warehouse, run_id)
        self.runs[run_id].state = "failed"

    @rule(number=NUMBERS)
    def try_everything_that_may_not_follow(self, number: int) -> None:
        """Every state that cannot be entered now, and every one without its reason or with one too many."""
        for run_id, slide in product({f"night-{number}", self._running or "night-1"}, SLIDES):
            run = self.runs.get(run_id)
            here = run.last.get(slide, "") if run else ""
            for state, reason in product(State, (None, Reason.TRUNCATED)):
                fits = (reason is not None) == (state.value in ("quarantined", "deferred"))
                if run and run.state == "running" and fits and state.value in NEXT.get(here, set()):
                    continue
                with pytest.raises(WarehouseError):
                    record(self.warehouse, run_id, slide, state, reason=reason, at=self._now())

    @precondition(lambda self: self._running is not None)
    @rule(slide=st.sampled_from(SLIDES), state=st.sampled_from((State.QUARANTINED, State.DEFERRED, State.DONE)))
    def end(self, slide: str, state: State) -> None:
        """A slide is refused, or found unchanged, wherever it is."""
        run = self.runs[self._running]
        if not run.last.get(slide):
            self._take(self._running, slide, State.DISCOVERED)
        if state.value in NEXT.get(run.last[slide], set()):
            self._take(self._running, slide, state)

    @precondition(lambda self: self._running is not None)
    @rule(slide=st.sampled_from(SLIDES), steps=st.integers(1, 6))
    def go_on(self, slide: str, steps: int) -> None:
        """A slide goes its way, as far as it gets."""
        way = ("", "discovered", "ingested", "surveyed", "analysed", "validated", "loaded", "done")
        run_id = self._running
        for _ in range(steps):
            here = self.runs[run_id].last.get(slide, "")
            if here in ENDED:
                return
            following = State(way[way.index(here) + 1])
            if following is State.LOADED:
                self.load(slide, "a", 4)
            self._take(run_id, slide, following)

    @precondition(lambda self: self._running is not None)
    @rule(slide=st.sampled_from(SLIDES))
    def arrive_again(self, slide: str) -> None:
        """A retry within a run: back to the beginning, as another attempt."""
        run = self.runs[self._running]
        if run.last.get(slide, "") not in ENDED:
            self._take(self._running, slide, State.DISCOVERED)

    def _take(self, run_id: str, slide: str, state: State) -> None:
        run = self.runs[run_id]
        reason = Reason.TRUNCATED if state.value in ("quarantined", "deferred") else None
        detail = "tried with this" if state is State.DISCOVERED else ""
        event = record(self.warehouse, run_id, slide, state, reason=reason, detail=detail, at=self._now())
        run.attempts[slide] = run.attempts.get(slide, 0) + (state is State.DISCOVERED)
        assert event.attempt == run.attempts[slide]
        run.last[slide] = state.value
        self.events[slide].append((run_id, state.value, event.attempt))
        self.ill.pop(slide, None)
        if state is State.QUARANTINED:
            self.ill[slide] = False

    @rule(slide=st.sampled_from(SLIDES))
    def let_out(self, slide: str) -> None:
        """A person releases a slide: once, and only from quarantine."""
        if self.ill.get(slide) is False:
            release(self.warehouse, slide, at=self._now())
            self.ill[slide] = True
        with pytest.raises(WarehouseError, match="not in quarantine"):
            release(self.warehouse, slide, at=self._now())

    @rule(slide=st.sampled_from(SLIDES), models=st.sampled_from("ab"), count=st.integers(0, 5))
    def load(self, slide: str, models: str, count: int) -> None:
        """The same key again changes nothing but which result is the current one."""
        key = f"k-{slide}-{models}"
        cells = cell_table(count, seed=count + 1)
        receipt = load_slide(self.warehouse, slide_record(slide), analysis_record(cells, key, slide_id=slide), cells)
        assert receipt.stored == (key not in self.results)
        self.results.setdefault(key, (slide, count))
        assert receipt.cells == self.results[key][1]
        self.current[slide] = key

    @rule(slide=st.sampled_from(SLIDES), models=st.sampled_from("cd"))
    def load_what_does_not_add_up(self, slide: str, models: str) -> None:
        cells = cell_table(3)
        claimed = replace(analysis_record(cells, f"k-{slide}-{models}", slide_id=slide), cells=4)
        with pytest.raises(SlideRefused) as refused:
            load_slide(self.warehouse, slide_record(slide), claimed, cells)
        assert refused.value.reason is Reason.INCONSISTENT

    # What must hold, whatever happened

    @invariant()
    def each_run_accounts_for_its_slides(self) -> None:
        for run_id, run in self.runs.items():
            counts = count_states(self.warehouse, run_id)
            found = counts.discovered, counts.done, counts.quarantined, counts.deferred
            assert found == run.counts()
            assert set(counts.unaccounted) == {slide for slide, last in run.last.items() if last not in ENDED}
            assert {slide: event.state.value for slide, event in states(self.warehouse, run_id).items()} == run.last
            row = self.warehouse.row("run", run_id=run_id)
            assert row["state"] == run.state
            if run.state == "done":
                assert row["discovered"] == row["done"] + row["quarantined"] + row["deferred"] == len(run.last)

    @invariant()
    def the_history_only_grows(self) -> None:
        for slide in SLIDES:
            told = history(self.warehouse, slide)
            assert [(event.run_id, event.state.value, event.attempt) for event in told] == self.events[slide]
            assert [event.at for event in told] == sorted(event.at for event in told)

    @invariant()
    def a_slide_has_one_current_result_and_rows_of_what_was_loaded_only(self) -> None:
        assert faults(self.warehouse) == ()
        with self.warehouse.exclusive() as connection:
            rows = connection.execute("SELECT result_key, slide_id, cells, is_current FROM fact_analysis").fetchall()
            cells = dict(connection.execute("SELECT result_key, count(*) FROM fact_cell GROUP BY ALL").fetchall())
        assert {key: (slide, count) for key, slide, count, _ in rows} == self.results
        assert {slide: key for key, slide, _, is_current in rows if is_current} == self.current
        assert sum(is_current for *_, is_current in rows) == len(self.current)
        assert cells == {key: count for key, (_, count) in self.results.items() if count}

    @invariant()
    def quarantine_is_what_the_model_says(self) -> None:
        assert {row.slide_id: row.released for row in quarantine_table(self.warehouse)} == self.ill
        left_alone = held(self.warehouse, "the next night")
        assert set(left_alone) == {slide for slide, released in self.ill.items() if not released}

    def teardown(self) -> None:
        self.stack.close()
        self.folder.cleanup()


@pytest.fixture(scope="module", autouse=True)
def template(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Migrations cost half a second: the file is made once."""
    Books.template = tmp_path_factory.mktemp("template") / "marrow.duckdb"
    with open_warehouse(Books.template) as warehouse:
        begin_night(warehouse)


Books.TestCase.settings = settings(
    max_examples=8, stateful_step_count=22, deadline=None, suppress_health_check=list(HealthCheck)
)
test_books = Books.TestCase
