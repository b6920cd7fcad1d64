"""F53, F55: a lock dies with its holder, and a writer that slept through its succession stores nothing more."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from marrow_models.pyramid.manifest import MANIFEST, complete, partial_store, write_manifest
from tests.unit.store_house.factories import analysis_record, begin_night, cell_table, run_record, slide_record
from warehouse.connection import Warehouse, open_warehouse
from warehouse.fence import Fenced, fence_file, latest_token
from warehouse.integrity import faults
from warehouse.load import load_slide
from warehouse.publish import publish
from warehouse.runs import close_crashed_runs, start_run

if TYPE_CHECKING:
    from pathlib import Path

ZOMBIE = """
import sys
from pathlib import Path
from marrow_models.pyramid.manifest import complete, partial_store, write_manifest
from tests.unit.store_house.factories import analysis_record, begin_night, cell_table, slide_record
from warehouse.connection import open_warehouse
from warehouse.load import load_slide
from warehouse.publish import publish
home = Path(sys.argv[1])
cells = cell_table(40)

def load(warehouse, name):
    load_slide(warehouse, slide_record(name), analysis_record(cells, f"k-{name}", slide_id=name), cells)

def ingest(warehouse, store):
    with partial_store(store) as partial:
        write_manifest(partial, {}, {"request": {}})
        complete(partial, store, may_appear=warehouse.fence.check)

with open_warehouse(home / "marrow.duckdb") as warehouse:
    begin_night(warehouse)
    load(warehouse, "s1")
    print("ready", flush=True)
    sys.stdin.readline()
    for deed, where in ((load, "s2"), (publish, home / "published"), (ingest, home / "s9.ome.zarr")):
        try:
            deed(warehouse, where)
            print("done", flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
"""


def load(warehouse: Warehouse, name: str) -> None:
    cells = cell_table(40)
    load_slide(warehouse, slide_record(name), analysis_record(cells, f"k-{name}", slide_id=name), cells)


def pass_locks(path: Path) -> None:
    """Get past every lock, as on a host whose locks do nothing: DuckDB's own are on the file and on its log."""
    path.with_name("marrow.duckdb.lock").unlink()
    for file in (path, path.with_name("marrow.duckdb.wal")):
        copy = file.with_name("copy")
        shutil.copyfile(file, copy)
        copy.replace(file)


def slides(warehouse: Warehouse) -> set[str]:
    with warehouse.exclusive() as connection:
        return {row for (row,) in connection.execute("SELECT slide_id FROM fact_analysis").fetchall()}


def test_a_zombie_that_wakes_after_its_succession_commits_publishes_and_ingests_nothing(tmp_path: Path) -> None:
    """F55: stopped, its lock file removed, the file taken over; then it wakes."""
    path = tmp_path / "marrow.duckdb"
    zombie = subprocess.Popen(
        [sys.executable, "-c", ZOMBIE, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert zombie.stdout is not None
    assert zombie.stdout.readline() == "ready\n"
    zombie.send_signal(signal.SIGSTOP)
    try:
        pass_locks(path)
        with open_warehouse(path) as successor:
            close_crashed_runs(successor)
            start_run(successor, run_record("night-2"))
            load(successor, "s3")
            zombie.send_signal(signal.SIGCONT)
            said, _ = zombie.communicate("go\n", timeout=60)
            load(successor, "s4")
            log_is_there = path.with_name("marrow.duckdb.wal").exists()
    finally:
        zombie.kill()
        zombie.wait()

    assert said.split() == ["Fenced", "Fenced", "Fenced"]
    assert log_is_there
    assert not (tmp_path / "published" / "marrow.duckdb").exists()
    assert not (tmp_path / "published" / "parquet").exists()
    assert not list(tmp_path.glob("s9*"))
    with open_warehouse(path) as warehouse:
        assert slides(warehouse) == {"s1", "s3", "s4"}
        assert faults(warehouse) == ()


def test_what_a_successor_committed_outlives_the_end_of_a_zombie(tmp_path: Path) -> None:
    """F55: the zombie ends in order, while the successor's log of changes is not yet taken in, and then the successor
    is killed."""
    path = tmp_path / "marrow.duckdb"
    zombie = subprocess.Popen(
        [sys.executable, "-c", ZOMBIE, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert zombie.stdout is not None
    zombie.stdout.readline()
    pass_locks(path)
    code = ZOMBIE.replace('begin_night(warehouse)\n    load(warehouse, "s1")', 'load(warehouse, "s3")')
    successor = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert successor.stdout is not None
    assert successor.stdout.readline() == "ready\n"
    zombie.communicate("go\n", timeout=60)
    successor.kill()
    successor.communicate()

    with open_warehouse(path) as warehouse:
        assert slides(warehouse) == {"s1", "s3"}


def test_the_lock_of_a_killed_holder_is_free_at_once(tmp_path: Path) -> None:
    """F53."""
    path = tmp_path / "marrow.duckdb"
    holder = subprocess.Popen([sys.executable, "-c", ZOMBIE, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.kill()
    holder.communicate()
    began = time.monotonic()
    with open_warehouse(path) as warehouse:
        assert time.monotonic() - began < 5
        assert close_crashed_runs(warehouse) == ("night-1",)
        assert slides(warehouse) == {"s1"}


def test_every_opening_takes_the_next_number(tmp_path: Path) -> None:
    tokens = []
    for _ in range(3):
        with open_warehouse(tmp_path / "marrow.duckdb") as warehouse:
            tokens.append(warehouse.fence.token)
    assert tokens == [1, 2, 3]


def test_the_number_rises_also_when_its_file_was_lost_or_the_warehouse_is_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "marrow.duckdb"
    with open_warehouse(path) as warehouse:
        begin_night(warehouse)
    shutil.copyfile(path, tmp_path / "backup")
    for expected in (2, 3):
        fence_file(path).unlink()
        with open_warehouse(path) as warehouse:
            assert warehouse.fence.token == expected
            start_run(warehouse, run_record(f"night-{expected}"))
    shutil.copyfile(tmp_path / "backup", path)
    with open_warehouse(path) as warehouse:
        assert warehouse.fence.token == 4


def test_a_writer_whose_number_cannot_be_read_stops(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "marrow.duckdb") as warehouse:
        begin_night(warehouse)
        fence_file(warehouse.path).write_text("?")
        assert latest_token(fence_file(warehouse.path)) is None
        with pytest.raises(Fenced, match="another run"):
            load(warehouse, "s1")
        with pytest.raises(Fenced):
            publish(warehouse, tmp_path / "published")
        assert warehouse.count("fact_analysis") == 0
    assert not (tmp_path / "published" / "marrow.duckdb").exists()


def test_a_store_of_a_fenced_writer_does_not_appear(tmp_path: Path) -> None:
    store = tmp_path / "s1.ome.zarr"
    with open_warehouse(tmp_path / "marrow.duckdb") as warehouse, partial_store(store) as partial:
        write_manifest(partial, {}, {"request": {}})
        fence_file(warehouse.path).write_text("99\n")
        with pytest.raises(Fenced):
            complete(partial, store, may_appear=warehouse.fence.check)
        assert (partial / MANIFEST).exists()
    assert not list(tmp_path.glob("s1*"))
