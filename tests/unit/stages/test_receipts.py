"""Receipts of fields: what is kept is what was found, and anything else is computed again."""

import errno
import logging
import os

import pytest

from marrow_models.records import Field, Rect
from tasks.receipts import STALE_S, Receipts, sweep
from tests.unit.cell_models.test_cell_file import same, table

GROUP = (Field(3, Rect(0, 0, 100, 100)), Field(4, Rect(100, 0, 100, 100)))


@pytest.fixture
def receipts(tmp_path):
    return Receipts(tmp_path / "work" / "r123")


def test_a_receipt_is_read_back_as_it_was_written(receipts):
    receipts.write(GROUP, table(40))

    assert same(receipts.read(GROUP), table(40))


def test_fields_that_lie_elsewhere_have_no_receipt(receipts):
    receipts.write(GROUP, table(40))

    assert receipts.read((GROUP[0], Field(4, Rect(100, 0, 100, 101)))) is None
    assert receipts.read(GROUP[:1]) is None


def test_a_torn_receipt_is_none(receipts):
    receipts.write(GROUP, table(40))
    (path,) = receipts.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-9])

    assert receipts.read(GROUP) is None


def test_a_receipt_of_another_result_is_none(receipts):
    receipts.write(GROUP, table(40))
    foreign = Receipts(receipts.folder.with_name("r999"))
    receipts.folder.rename(foreign.folder)

    assert foreign.read(GROUP) is None


def test_a_full_work_disk_costs_the_receipt_and_not_the_slide(receipts, monkeypatch, caplog):
    """F56, the volume of HOME/work."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with caplog.at_level(logging.WARNING):
        receipts.write(GROUP, table(40))

    assert receipts.read(GROUP) is None
    assert list(receipts.folder.iterdir()) == []
    assert "No space left" in caplog.text


def test_receipts_of_stored_results_and_of_long_ago_are_swept(tmp_path):
    for name in ("stored", "old", "current"):
        Receipts(tmp_path / name).write(GROUP, table(3))
    os.utime(tmp_path / "old", (1, 1))

    assert set(sweep(tmp_path, stored=lambda key: key == "stored")) == {"stored", "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["current"]
    assert STALE_S > 7 * 24 * 3600
