"""F56, F57: the first, second, third ... write fails; what was there before stays, and the next attempt succeeds."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from marrow_models.errors import CannotWrite, Reason, SlideRefused, UserError, WarehouseError
from marrow_models.pyramid.ingest import ingest_slide
from marrow_models.pyramid.manifest import StoreError, check_content, read_manifest, remove
from marrow_models.records import Field, Rect
from tasks.home import Home
from tasks.receipts import Receipts
from tasks.room import check_room
from tests.faults.disks import FailingDisk, can_mount, fill, small_disk
from tests.unit.cell_models.test_cell_file import same, table
from tests.unit.slide_files.sources import Svs, picture
from tests.unit.store_house.factories import (
    analysis_record,
    begin_night,
    cell_table,
    slide_record,
)
from warehouse.connection import open_warehouse
from warehouse.integrity import faults
from warehouse.load import load_slide
from warehouse.publish import publish
from warehouse.published import open_published

ERRORS = [errno.ENOSPC, errno.EIO]
GROUP = (Field(3, Rect(0, 0, 100, 100)),)


def attempts(folder: Path, error: int, work):
    """Run ``work`` with its n-th write failing for n = 1, 2, 3 ..., until none is left to fail; how many failed."""
    for nth in range(1, 500):
        disk = FailingDisk(folder, nth, error)
        with disk.at_work():
            work(disk)
        if not disk.failed:
            return nth - 1
    raise AssertionError("the work never ended")


def refusal_of(work, kind=SlideRefused):
    """What a call was refused with; None when it was not."""
    try:
        work()
    except kind as refusal:
        return refusal
    return None


@pytest.mark.parametrize("error", ERRORS)
def test_a_store_is_whole_or_absent_whichever_write_fails(tmp_path, error):
    source = Svs(picture(600, 500), factors=(4,)).write(tmp_path / "a.svs")
    out = tmp_path / "slides"
    store = out / "s1.ome.zarr"

    def whole_or_absent():
        try:
            read_manifest(store)
        except StoreError:
            return
        check_content(store)  # the very last flush failed, after the mark

    def work(disk):
        refusal = refusal_of(lambda: ingest_slide(source, (), store, um_per_px=None))
        if refusal is None:
            check_content(store)
        else:
            assert (refusal.reason, refusal.detail) == (Reason.DISK_FULL, errno.errorcode[error])
            whole_or_absent()
        assert disk.failed == (refusal is not None)
        assert not list(out.glob("*.partial-*"))
        remove(store)

    assert attempts(out, error, work) > 10


@pytest.mark.parametrize("error", ERRORS)
def test_a_receipt_is_whole_or_absent_whichever_write_fails(tmp_path, error):
    receipts = Receipts(tmp_path / "work" / "r1")

    def work(disk):
        receipts.write(GROUP, table(9))
        found = receipts.read(GROUP)
        assert found is None or same(found, table(9))
        assert disk.failed or found is not None
        receipts.remove()

    assert attempts(tmp_path / "work", error, work) >= 4


@pytest.fixture
def warehouse(tmp_path):
    with open_warehouse(tmp_path / "warehouse" / "marrow.duckdb") as opened:
        begin_night(opened)
        load(opened, "s1")
        yield opened


def load(warehouse, name):
    cells = cell_table(40)
    load_slide(warehouse, slide_record(name), analysis_record(cells, f"k-{name}", slide_id=name), cells)


@pytest.mark.slow
def test_a_publication_is_the_old_or_the_new_one_whichever_write_fails(warehouse, tmp_path):
    folder = tmp_path / "published"
    publish(warehouse, folder)
    load(warehouse, "s2")
    seen = [1]

    def work(disk):
        failure = refusal_of(lambda: publish(warehouse, folder), CannotWrite)
        assert disk.failed == (failure is not None)
        with open_published(folder / "marrow.duckdb") as database:
            seen.append(database.count("fact_analysis"))
            assert faults(database) == ()
        assert not list(folder.glob(".marrow.duckdb.*"))

    assert attempts(folder, errno.ENOSPC, work) > 15
    assert seen[:12] == [1] * 12
    assert seen == sorted(seen)
    assert seen[-1] == 2


needs_disk = pytest.mark.skipif(
    os.geteuid() != 0 or not can_mount(Path("/tmp") / f"marrow-{os.getpid()}"),
    reason="this account may not mount a tmpfs; RLIMIT_FSIZE stands in for it in test_killed_writer",
)


@needs_disk
def test_a_full_disk_of_the_publication_keeps_the_earlier_one(warehouse, tmp_path):
    """F56, the volume of HOME/published: the writes of DuckDB and Parquet themselves fail."""
    with small_disk(tmp_path / "published", mib=24) as folder:
        publish(warehouse, folder)
        load(warehouse, "s2")
        ballast = fill(folder, leave_bytes=1 << 20)
        with pytest.raises(CannotWrite, match="publication cannot be written"):
            publish(warehouse, folder)
        with open_published(folder / "marrow.duckdb") as database:
            assert database.count("fact_analysis") == 1
        ballast.unlink()
        publish(warehouse, folder)
        with open_published(folder / "marrow.duckdb") as database:
            assert database.count("fact_analysis") == 2


@needs_disk
def test_a_full_disk_of_the_warehouse_keeps_what_was_acknowledged_and_goes_on_later(tmp_path):
    """F56, the volume of HOME/warehouse."""
    cells = cell_table(5000)
    with small_disk(tmp_path / "warehouse", mib=16) as folder:
        path = folder / "marrow.duckdb"
        done = []

        def until_full():
            with open_warehouse(path) as warehouse:
                begin_night(warehouse)
                fill(folder, leave_bytes=2 << 20)
                for name in (f"s{number}" for number in range(100)):
                    load_slide(warehouse, slide_record(name), analysis_record(cells, f"k-{name}", slide_id=name), cells)
                    done.append(f"k-{name}")

        assert "free disk space" in str(refusal_of(until_full, CannotWrite))
        (folder / ".ballast").unlink()
        with open_warehouse(path) as warehouse:
            assert faults(warehouse) == ()
            with warehouse.exclusive() as connection:
                stored = {key for (key,) in connection.execute("SELECT result_key FROM fact_analysis").fetchall()}
            assert set(done) <= stored
            load(warehouse, "again")


@needs_disk
def test_a_home_on_a_read_only_disk_is_refused_with_the_reason(tmp_path):
    """F57."""
    with small_disk(tmp_path / "home", mib=8) as folder:
        home = Home(folder).create()
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True, capture_output=True)
        with pytest.raises(UserError, match="read-only"):
            check_room(home, 0)
        with (
            pytest.raises(WarehouseError, match="cannot be written: Read-only file system"),
            open_warehouse(home.warehouse),
        ):
            pass


@needs_disk
def test_a_disk_that_is_too_full_is_named_before_a_night_begins(tmp_path):
    """F56: the pre-flight check says where how much is missing."""
    home = Home(tmp_path / "home").create()
    with small_disk(home.published, mib=8):
        with pytest.raises(UserError, match=r"published has 8 MiB; each needs 64 MiB"):
            check_room(home, 64 << 20)
        assert check_room(home, 4 << 20) == 8 << 20
