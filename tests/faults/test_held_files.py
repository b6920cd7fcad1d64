"""F58: somebody has a file open that a night wants to write. It waits, says who it is, and publishes all the same."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from marrow_models.errors import WarehouseError
from tests.unit.store_house.factories import begin_night, finish_slide
from warehouse.connection import open_warehouse
from warehouse.publish import publish
from warehouse.published import open_published

HOLDER = """
import duckdb, sys
held = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read-only")
print("held", flush=True)
for line in sys.stdin:
    if line.strip() == "write":
        held.execute("CREATE OR REPLACE TABLE mine AS SELECT 1")
    print(held.execute("SELECT count(*) FROM slides").fetchone()[0], flush=True)
"""
MODES = ("read-only", "read-write")


class Holder:
    """Another program that has a DuckDB file open."""

    def __init__(self, path: Path, mode: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, path, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def ask(self, what: str) -> int:
        """Let it do something; how many slides it sees."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def holding(path: Path, mode: str) -> Iterator[Holder]:
    holder = Holder(path, mode)
    try:
        yield holder
    finally:
        holder.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "warehouse" / "marrow.duckdb"
    with open_warehouse(found) as warehouse:
        begin_night(warehouse)
        finish_slide(warehouse, "s1")
    return found


@pytest.mark.parametrize("mode", MODES)
def test_a_writer_waits_to_its_limit_for_whoever_has_the_warehouse_open_and_names_the_process(
    path: Path, mode: str
) -> None:
    """F58."""
    with holding(path, mode) as holder:
        began = time.monotonic()
        with pytest.raises(WarehouseError, match=rf"PID {holder.process.pid}\)"), open_warehouse(path, wait_s=1.0):
            pass
        assert 1.0 <= time.monotonic() - began < 10
        assert holder.ask("read") == 1, "the holder is left alone"


@pytest.mark.parametrize("mode", MODES)
def test_a_writer_goes_on_as_soon_as_the_warehouse_is_let_go(path: Path, mode: str) -> None:
    """F58."""
    with holding(path, mode) as holder:
        going = subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 {holder.process.pid}"])
        with open_warehouse(path, wait_s=60) as warehouse:
            finish_slide(warehouse, "s2")
            assert warehouse.count("fact_analysis") == 2
        going.wait()


@pytest.mark.parametrize("mode", MODES)
def test_publishing_goes_on_under_an_analyst_who_sees_the_old_night_until_opening_again(
    path: Path, tmp_path: Path, mode: str
) -> None:
    """F58: also when the analyst opened the file for writing, and leaves a log of changes behind."""
    folder = tmp_path / "published"
    with open_warehouse(path) as warehouse:
        published = publish(warehouse, folder).path
        with holding(published, mode) as analyst:
            assert analyst.ask("write" if mode == "read-write" else "read") == 1
            finish_slide(warehouse, "s2")
            publish(warehouse, folder)
            assert analyst.ask("read") == 1
            with open_published(published) as database:
                assert database.count("slides") == 2
        with open_published(published) as database:  # the analyst was killed
            assert database.count("slides") == 2
            assert "mine" not in {row["name"] for row in database.rows("relations")}
