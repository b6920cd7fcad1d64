"""A writer is killed at any moment: no acknowledged slide is lost, none is half there, the next writer goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from marrow_models.errors import WarehouseError
from tests.unit.store_house.factories import (
    analysis_record,
    begin_night,
    cell_table,
    patient_record,
    run_record,
    slide_record,
)
from warehouse.connection import open_warehouse
from warehouse.dimensions import store_patient
from warehouse.integrity import faults
from warehouse.load import load_slide
from warehouse.runs import close_crashed_runs, start_run

if TYPE_CHECKING:
    from pathlib import Path

LONG = pytest.mark.timeout(2 * 3600)
WRITER = """
import sys
from pathlib import Path
from tests.unit.store_house.factories import analysis_record, cell_table, slide_record
from warehouse.connection import open_warehouse
from warehouse.load import load_slide
cells = cell_table(400)
with open_warehouse(Path(sys.argv[1])) as warehouse:
    for number in range(int(sys.argv[2]), 100_000):
        slide = f"s{number}"
        load_slide(warehouse, slide_record(slide), analysis_record(cells, f"k{number}", slide_id=slide), cells)
        print(number, flush=True)
"""


@pytest.mark.parametrize(
    "kills", [pytest.param(5, marks=pytest.mark.slow), pytest.param(200, marks=[pytest.mark.chaos, LONG])]
)
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, kills: int) -> None:
    """F51, R1, R2: the warehouse alone, at random moments."""
    path = tmp_path / "marrow.duckdb"
    with open_warehouse(path) as warehouse:
        begin_night(warehouse)
    moments = random.Random(5)
    acknowledged: list[int] = []
    for _ in range(kills):
        begin_at = acknowledged[-1] + 2 if acknowledged else 0
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(begin_at)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        acknowledged.append(int(writer.stdout.readline()))
        time.sleep(moments.uniform(0.0, 0.4))
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        writer.stdout.close()
        writer.wait()
        with open_warehouse(path) as warehouse:
            assert faults(warehouse) == ()
            with warehouse.exclusive() as connection:
                stored = {key for (key,) in connection.execute("SELECT result_key FROM fact_analysis").fetchall()}
        assert {f"k{number}" for number in acknowledged} <= stored
    assert len(acknowledged) >= kills


def test_the_run_of_a_killed_writer_is_found_dead_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "marrow.duckdb"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.store_house.factories import begin_night, walk\n"
        "from warehouse.connection import open_warehouse\n"
        "from warehouse.ledger import State\n"
        "with open_warehouse(Path(sys.argv[1])) as warehouse:\n"
        "    begin_night(warehouse)\n"
        "    walk(warehouse, 's1', until=State.ANALYSED)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    with open_warehouse(path) as warehouse:
        assert close_crashed_runs(warehouse) == ("night-1",)
        start_run(warehouse, run_record("night-2"))
        assert [run["run_id"] for run in warehouse.rows("running_runs")] == ["night-2"]


def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "marrow.duckdb"
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from marrow_models.errors import WarehouseError\n"
        "from tests.unit.store_house.factories import *\n"
        "from warehouse.connection import open_warehouse\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "cells = cell_table(20_000)\n"
        "with open_warehouse(Path(sys.argv[1])) as warehouse:\n"
        "    begin_night(warehouse)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (10 * 2**20, 10 * 2**20))\n"
        "    try:\n"
        "        for n in range(50):\n"
        "            slide = f's{n}'\n"
        "            analysis = analysis_record(cells, f'k{n}', slide_id=slide)\n"
        "            load_slide(warehouse, slide_record(slide), analysis, cells)\n"
        "            print(n, flush=True)\n"
        "    except WarehouseError as error:\n"
        "        print(error, flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, capture_output=True, text=True)
    *acknowledged, message = done.stdout.splitlines()
    assert "check free disk space" in message, done.stderr
    assert acknowledged
    with open_warehouse(path) as warehouse:
        assert faults(warehouse) == ()
        assert warehouse.count("fact_analysis") >= len(acknowledged)
        store_patient(warehouse, patient_record("p2"))  # and it can be written again
        cells = cell_table(10)
        load_slide(warehouse, slide_record("new"), analysis_record(cells, "new", slide_id="new"), cells)


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "marrow.duckdb.lock").mkdir()
    with pytest.raises(WarehouseError, match="cannot be written"), open_warehouse(tmp_path / "marrow.duckdb"):
        pass
