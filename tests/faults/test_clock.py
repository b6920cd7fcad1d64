"""F62 and F63: nights when the clock changes, jumps, or was not watched."""

import ast
import asyncio
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.server.schemas.schedules import CronSchedule

from flows.missed import has_night_since
from tests.unit.store_house.factories import run_record
from warehouse import read
from warehouse.clock import aware_utc
from warehouse.connection import open_warehouse
from warehouse.ledger import State, record
from warehouse.publish import publish
from warehouse.runs import RunState, close_crashed_runs, finish_run, start_run

PROJECT = Path(__file__).parents[2]
CHANGES = [
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
]
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def shipped_cron():
    deployments = yaml.safe_load((PROJECT / "deployments" / "prefect.yaml").read_text())["deployments"]
    (cron,) = [s["cron"] for d in deployments for s in d.get("schedules", []) if "cron" in s]
    return cron


@pytest.mark.parametrize("cron", ["shipped", "30 2 * * *", "0 3 * * *"])
@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_f62_the_night_fires_once_when_the_clocks_change(zone, day, cron):
    schedule = CronSchedule(cron=shipped_cron() if cron == "shipped" else cron, timezone=zone)
    noon_before = datetime.combine(day - timedelta(days=1), time(12), ZoneInfo(zone))
    dates = asyncio.run(schedule.get_dates(n=3, start=noon_before))

    local = [moment.astimezone(ZoneInfo(zone)) for moment in dates]
    assert [moment.date() for moment in local] == [day + timedelta(days=n) for n in range(3)]
    assert len({moment.astimezone(UTC) for moment in dates}) == 3


def test_f62_a_leap_day_is_a_night_like_any(tmp_path):
    schedule = CronSchedule(cron=shipped_cron(), timezone="Europe/Berlin")
    dates = asyncio.run(schedule.get_dates(n=3, start=datetime(2028, 2, 28, 12, tzinfo=UTC)))
    assert [moment.strftime("%m-%d") for moment in dates] == ["02-29", "03-01", "03-02"]


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=1), timedelta(days=-400)])
def test_f62_after_a_jump_of_the_clock_the_last_run_is_still_the_last(tmp_path, jump):
    with open_warehouse(tmp_path / "marrow.duckdb") as warehouse:
        start_run(warehouse, run_record("before", started_at=NOON))
        finish_run(warehouse, "before", RunState.DONE, at=NOON + timedelta(minutes=5))
        start_run(warehouse, run_record("after", started_at=NOON + jump))
        finish_run(warehouse, "after", RunState.DONE, at=NOON + jump + timedelta(minutes=5))

        assert read.latest_run(warehouse).run_id == "after"
        published = publish(warehouse, tmp_path / "published").path
    from warehouse.published import open_published

    with open_published(published) as database:
        assert read.latest_run(database).run_id == "after"


def test_f62_the_order_of_dead_runs_is_that_of_their_beginning(tmp_path):
    with open_warehouse(tmp_path / "marrow.duckdb") as warehouse:
        for number in range(3):
            start_run(warehouse, run_record(f"run-{number}", started_at=NOON - timedelta(hours=number)))
        assert close_crashed_runs(warehouse) == ("run-0", "run-1", "run-2")


def test_f62_a_slide_that_is_recorded_before_its_run_began_is_still_ordered(tmp_path):
    with open_warehouse(tmp_path / "marrow.duckdb") as warehouse:
        start_run(warehouse, run_record("night", started_at=NOON))
        record(warehouse, "night", "s1", State.DISCOVERED, at=NOON)
        record(warehouse, "night", "s1", State.DONE, at=NOON - timedelta(hours=1))
        from warehouse.ledger import states

        assert states(warehouse, "night")["s1"].state is State.DONE


def test_f62_times_are_utc_whatever_the_zone_of_the_machine(tmp_path):
    summer = datetime(2026, 7, 1, 14, tzinfo=ZoneInfo("Europe/Berlin"))
    with open_warehouse(tmp_path / "marrow.duckdb") as warehouse:
        start_run(warehouse, run_record("berlin", started_at=summer))
        assert read.run_of(warehouse, "berlin").started_at == NOON == aware_utc(NOON.replace(tzinfo=None))


def test_f62_durations_are_taken_by_a_clock_that_nobody_sets():
    """A difference of wall-clock times is no duration: the product takes none but against times of files."""
    # Ages by times that others gave: the Prefect server, the file system.
    allowed = {"flows/reconcile.py", "tasks/receipts.py", "marrow_models/pyramid/manifest.py"}
    found = set()
    for package in ("flows", "tasks", "warehouse", "marrow_models"):
        for path in (PROJECT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
                    sides = ast.unparse(node.left), ast.unparse(node.right)
                    if any(".now(" in side or side == "time.time()" for side in sides):
                        found.add(path.relative_to(PROJECT).as_posix())
    assert found - allowed == set()


def home_with_night(tmp_path, trigger, state, started_at):
    home = tmp_path / "home"
    with open_warehouse(home / "warehouse" / "marrow.duckdb") as warehouse:
        start_run(warehouse, run_record("night", trigger=trigger, started_at=started_at))
        finish_run(warehouse, "night", state)
        publish(warehouse, home / "published")
    return home


def test_f63_of_five_missed_nights_the_first_catches_up_for_all(tmp_path):
    missed = [NOON - timedelta(days=days) for days in (4, 3, 2, 1, 0)]
    home = tmp_path / "home"
    assert not has_night_since(home, missed[0])

    home = home_with_night(tmp_path, "schedule", RunState.DONE, NOON + timedelta(hours=3))

    assert [has_night_since(home, planned) for planned in missed] == [True] * 5
    assert not has_night_since(home, NOON + timedelta(days=1))


@pytest.mark.parametrize(("trigger", "state"), [("manual", RunState.DONE), ("schedule", RunState.FAILED)])
def test_f63_a_run_by_hand_or_one_that_failed_catches_up_for_none(tmp_path, trigger, state):
    home = home_with_night(tmp_path, trigger, state, NOON + timedelta(hours=3))
    assert not has_night_since(home, NOON)


def test_f63_a_publication_that_cannot_be_read_is_no_reason_to_skip_a_night(tmp_path):
    home = home_with_night(tmp_path, "schedule", RunState.DONE, NOON + timedelta(hours=3))
    file = home / "published" / "marrow.duckdb"
    file.chmod(0o644)
    file.write_bytes(b"damaged")
    assert not has_night_since(home, NOON)
