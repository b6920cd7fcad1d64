"""One writer; everything or nothing; no file but its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb
import pytest

from marrow_models.errors import WarehouseError
from tests.unit.store_house.factories import everything, patient_record
from warehouse.connection import Warehouse, open_warehouse
from warehouse.dimensions import store_patient

if TYPE_CHECKING:
    from pathlib import Path


def hold_in_another_process(code: str, path: Path) -> subprocess.Popen[str]:
    """A process that runs ``code`` on ``path``, says so, and stays until it is killed."""
    begin = "import sys, time\nfrom pathlib import Path\npath = Path(sys.argv[1])\n"
    text = f"{begin}{code}\nprint('held', flush=True)\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", text, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def stop(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


WRITER = "from warehouse.connection import open_warehouse\nheld = open_warehouse(path)\nheld.__enter__()"


def test_a_second_writer_is_told_who_holds_the_warehouse_and_a_kill_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "marrow.duckdb"
    process = hold_in_another_process(WRITER, path)
    try:
        with pytest.raises(WarehouseError, match=rf"PID {process.pid}\b"), open_warehouse(path):
            pass
    finally:
        stop(process)
    with open_warehouse(path):  # the kernel freed the lock
        pass


def test_a_second_writer_waits_as_long_as_it_was_told(tmp_path: Path) -> None:
    path = tmp_path / "marrow.duckdb"
    with open_warehouse(path):
        begun = time.monotonic()
        with pytest.raises(WarehouseError, match=rf"PID {os.getpid()}\b"), open_warehouse(path, wait_s=0.5):
            pass
        assert time.monotonic() - begun >= 0.5


def test_a_writer_that_lets_go_in_time_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "marrow.duckdb"
    opened = threading.Event()

    def hold() -> None:
        with open_warehouse(path):
            opened.set()
            time.sleep(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    opened.wait(10)
    with open_warehouse(path, wait_s=20) as warehouse:
        assert warehouse.count("dim_run") == 0
    holder.join()


def test_a_program_that_has_the_file_open_is_named(tmp_path: Path) -> None:
    path = tmp_path / "marrow.duckdb"
    with open_warehouse(path):
        pass
    process = hold_in_another_process("import duckdb\nheld = duckdb.connect(str(path), read_only=True)", path)
    try:
        with pytest.raises(WarehouseError, match=rf"PID {process.pid}\).*published"), open_warehouse(path):
            pass
    finally:
        stop(process)


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000, bytes(20000)])
def test_what_is_no_database_is_refused_with_the_way_back(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "marrow.duckdb"
    path.write_bytes(content)
    with pytest.raises(WarehouseError, match=r"damaged or not a DuckDB file.*marrow restore"), open_warehouse(path):
        pass
    assert path.read_bytes() == content


def test_a_truncated_warehouse_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "marrow.duckdb"
    with open_warehouse(path):
        pass
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WarehouseError, match="damaged"), open_warehouse(path):
        pass


def test_a_flipped_bit_in_the_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "marrow.duckdb"
    with open_warehouse(path):
        pass
    content = bytearray(path.read_bytes())
    content[4096 + 20] ^= 0xFF
    content[8192 + 20] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(WarehouseError, match="damaged"), open_warehouse(path):
        pass


def test_a_failed_transaction_stores_nothing(warehouse: Warehouse) -> None:
    before = everything(warehouse, "dim_patient", "fact_laboratory")

    def store_and_fail() -> None:
        with warehouse.transaction():
            store_patient(warehouse, patient_record("p2"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        store_and_fail()
    assert everything(warehouse, "dim_patient", "fact_laboratory") == before


def test_an_inner_failure_cannot_be_swallowed(warehouse: Warehouse) -> None:
    before = warehouse.count("dim_patient")

    def store_and_hide_a_failure() -> None:
        with warehouse.transaction():
            store_patient(warehouse, patient_record("p2"))
            with suppress(RuntimeError), warehouse.transaction():
                raise RuntimeError

    with pytest.raises(WarehouseError, match="none of it"):
        store_and_hide_a_failure()
    assert warehouse.count("dim_patient") == before
    store_patient(warehouse, patient_record("p3"))  # and the warehouse can still be written
    assert warehouse.count("dim_patient") == before + 1


def test_threads_take_turns(warehouse: Warehouse) -> None:
    def store(number: int) -> None:
        for i in range(5):
            store_patient(warehouse, patient_record(f"t{number}-{i}"))
            warehouse.rows("slide_states")

    threads = [threading.Thread(target=store, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warehouse.count("dim_patient") == 1 + 20
    assert warehouse.count("fact_laboratory") == 1 + 20


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY (SELECT 1) TO 'stolen.csv'",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET TimeZone = 'Europe/Berlin'",
    ],
)
def test_the_writer_reaches_no_other_file_and_keeps_its_settings(warehouse: Warehouse, statement: str) -> None:
    with warehouse.exclusive() as connection, pytest.raises(duckdb.Error):
        connection.execute(statement)


def test_the_zone_is_utc(warehouse: Warehouse) -> None:
    with warehouse.exclusive() as connection:
        assert connection.execute("SELECT current_setting('TimeZone')").fetchone() == ("UTC",)
