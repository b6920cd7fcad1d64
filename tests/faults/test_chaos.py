"""Whole nights with deaths in them: real flows, workers and scheduler, killed; disks that fill up meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from marrow_models.phantom.night import SlideScale, make_phantom
from tests.end_to_end.servers import prefect_server, wait_until
from tests.faults import chaos
from tests.faults.chaos import CELLS, NIGHT_LIMIT_S, Supervisor, every_point
from tests.faults.disks import can_mount, fill, small_disk
from tests.faults.kill_points import curse, lift_curse
from tests.faults.rig import ended, kill, rig
from warehouse.connection import open_warehouse
from warehouse.integrity import faults
from warehouse.ledger import State, history, states
from warehouse.read import RunRow, latest_run

LONG = SlideScale(width_px=6144, height_px=1024, cells=(60, 70))
"""A slide with several groups of fields."""


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """Server, cluster and the cells of an undisturbed night of three small slides."""
    folder = tmp_path_factory.mktemp("chaos")
    make_phantom(folder / "inbox", seed=5, patients=3, slides_per_patient=1, scale=chaos.TINY)
    with prefect_server(folder) as env:
        server = {name: env[name] for name in ("PREFECT_API_URL", "PREFECT_HOME")}
        with rig(folder / "rig", server) as made:
            yield Supervisor(made, folder / "inbox", seed=0)


@pytest.fixture
def home(supervisor: Supervisor, tmp_path: Path) -> Path:
    return tmp_path / "home"


def cells(home: Path) -> list[tuple]:
    with open_warehouse(home / "warehouse" / "marrow.duckdb") as warehouse, warehouse.exclusive() as connection:
        return connection.execute(CELLS).fetchall()


def last_run(home: Path) -> tuple[RunRow, dict]:
    """The last run as stored, and the last event of each of its slides."""
    with open_warehouse(home / "warehouse" / "marrow.duckdb") as warehouse:
        assert faults(warehouse) == ()
        run = latest_run(warehouse)
        assert run is not None
        return run, states(warehouse, run.run_id)


def noted(home: Path, kind: str) -> list[str]:
    """What the nights of a home were told is safe, of one kind: ledger, load or fields."""
    path = home.with_name(f"{home.name}.acknowledged")
    return [line for line in path.read_text().splitlines() if line.startswith(f"{kind} ")] if path.exists() else []


@pytest.mark.nights
def test_a_dozen_deaths_at_named_points_lose_and_change_nothing(supervisor: Supervisor) -> None:
    """F45, F51, F52: R1, R2 and R3 after every death, and the cells of an undisturbed night in the end."""
    for deaths in every_point()[:8]:
        supervisor.step(*deaths)
    supervisor.finish()

    report = supervisor.report
    assert report.killed >= 12, report.kills
    assert report.commits > 50
    assert report.wrong == []


@pytest.mark.chaos
@pytest.mark.timeout(4 * 3600)
def test_hundreds_of_deaths_lose_and_change_nothing(tmp_path: Path) -> None:
    """F45, F47, F51, F52. ``CHAOS_REPORT`` names a file (without suffix) for the report."""
    report = chaos.run(tmp_path, kills=200, seconds=3 * 3600, seed=int.from_bytes(os.urandom(4)))

    chaos.write_report(report, Path(os.environ.get("CHAOS_REPORT", tmp_path / "chaos")))
    assert report.killed >= 200
    assert report.wrong == [], json.dumps(report.wrong, indent=1)


@pytest.mark.nights
def test_a_restart_inside_a_slide_repeats_only_the_fields_in_flight(supervisor: Supervisor, tmp_path: Path) -> None:
    """F51, R8: killed after the first receipt, the slide goes on from it, and its cells have the same numbers.

    F45, F50: meanwhile a worker dies, which the ledger tells, and its fields are done again in smaller pieces.
    """
    make_phantom(tmp_path / "inbox", seed=6, patients=1, slides_per_patient=1, scale=LONG)
    made = supervisor.rig
    undisturbed = made.night(tmp_path / "inbox", tmp_path / "whole", target_cells=0)
    assert ended(undisturbed, NIGHT_LIMIT_S) == 0, made.log_of_last_night()
    groups = len(noted(tmp_path / "whole", "fields"))
    made.arm("receipt.after_rename")
    killed = made.night(tmp_path / "inbox", tmp_path / "home", target_cells=0)

    assert ended(killed, NIGHT_LIMIT_S) == -signal.SIGKILL
    assert made.was_reached("receipt.after_rename")
    kept = len(list((tmp_path / "home" / "work").glob("*/*.cells")))
    made.start_cluster()  # what the killed night had under way would reach the point for it
    made.arm("fields")
    resumed = made.night(tmp_path / "inbox", tmp_path / "home", target_cells=0)
    assert ended(resumed, NIGHT_LIMIT_S) == 0, made.log_of_last_night()
    assert made.was_reached("fields")

    assert groups >= 3
    assert kept == 1
    assert len(noted(tmp_path / "home", "fields")) == groups - kept
    undisturbed_rows = cells(tmp_path / "whole")
    assert cells(tmp_path / "home") == undisturbed_rows
    assert list((tmp_path / "home" / "work").iterdir()) == []
    with open_warehouse(tmp_path / "home" / "warehouse" / "marrow.duckdb") as warehouse:
        told = [event.detail for event in history(warehouse, undisturbed_rows[0][0]) if event.state is State.ANALYSED]
    assert told == ["memory: batch size 8, tiles of 260 px, a worker died"]


@pytest.mark.nights
def test_a_slide_that_kills_workers_is_quarantined_after_two_and_the_others_finish(
    supervisor: Supervisor, home: Path
) -> None:
    """F46, R4."""
    made = supervisor.rig
    victim = supervisor.reference[0][0]
    deaths = curse(made.armed, victim)
    try:
        code = ended(made.night(supervisor.inbox, home, target_cells=0), NIGHT_LIMIT_S)
    finally:
        lift_curse(made.armed)

    assert code == 3, made.log_of_last_night()
    assert len(deaths.read_text().splitlines()) == 2
    run, events = last_run(home)
    assert run.state == "done_with_quarantine"
    assert (events[victim].state, events[victim].reason) == (State.QUARANTINED, "WORKER_DIED")
    assert {event.state for slide, event in events.items() if slide != victim} == {State.DONE}
    assert cells(home) == [row for row in supervisor.reference if row[0] != victim]


@pytest.mark.nights
def test_a_dead_scheduler_ends_the_night_soon_and_the_next_one_goes_on(supervisor: Supervisor, home: Path) -> None:
    """F47: no slide is blamed for it."""
    made = supervisor.rig
    night = made.night(supervisor.inbox, home, target_cells=0)
    wait_until(lambda: [n for n in noted(home, "ledger") if "ingested" in n], timeout_s=120, what="work", step_s=0.02)
    made.kill_scheduler()
    code = ended(night, 60)
    made.start_cluster()

    assert code == 1, made.log_of_last_night()
    run, events = last_run(home)
    assert run.state == "failed"
    assert {event.state for event in events.values()}.isdisjoint({State.QUARANTINED, State.DEFERRED})
    assert ended(made.night(supervisor.inbox, home, target_cells=0), NIGHT_LIMIT_S) == 0
    assert cells(home) == supervisor.reference


needs_disk = pytest.mark.skipif(
    os.geteuid() != 0 or not can_mount(Path("/tmp") / f"marrow-{os.getpid()}"),
    reason="this account may not mount a tmpfs; test_failing_writes has the same with functions that raise",
)


@pytest.mark.nights
@needs_disk
def test_full_disks_stop_a_night_in_order_and_the_next_goes_on(supervisor: Supervisor, home: Path) -> None:
    """F56: HOME/slides defers the slides, HOME/work costs the receipts, HOME/warehouse fails the night."""
    made, inbox = supervisor.rig, supervisor.inbox
    with small_disk(home / "slides", mib=48), small_disk(home / "work", mib=1), small_disk(home / "warehouse", mib=64):
        slides = fill(home / "slides", leave_bytes=1 << 16)
        assert ended(made.night(inbox, home, target_cells=0), NIGHT_LIMIT_S) == 0, made.log_of_last_night()
        run, events = last_run(home)
        assert (run.discovered, run.deferred) == (3, 3)
        assert {event.reason for event in events.values()} == {"DISK_FULL"}
        slides.unlink()

        fill(home / "work")
        night = made.night(inbox, home, target_cells=0)
        wait_until(lambda: noted(home, "load"), timeout_s=120, what="a slide", step_s=0.02)
        warehouse = fill(home / "warehouse")
        assert ended(night, NIGHT_LIMIT_S) in (0, 1)  # whether what was left fitted into the log
        warehouse.unlink()

        assert ended(made.night(inbox, home, target_cells=0), NIGHT_LIMIT_S) == 0, made.log_of_last_night()
        assert cells(home) == supervisor.reference


@pytest.mark.chaos
def test_a_night_killed_before_anything_leaves_a_home_that_works(supervisor: Supervisor, home: Path) -> None:
    """F51: inside the opening of the warehouse, its migrations and the first entries."""
    made = supervisor.rig
    night = made.night(supervisor.inbox, home, target_cells=0)
    wait_until(lambda: (home / "warehouse" / "marrow.duckdb").exists(), timeout_s=60, what="a file", step_s=0.005)
    assert kill(night)

    assert ended(made.night(supervisor.inbox, home, target_cells=0), NIGHT_LIMIT_S) == 0, made.log_of_last_night()
    assert cells(home) == supervisor.reference
