"""Sources that go away, come back or change: a slide is made of the bytes that its id stands for, or not at all."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from marrow_models.decoder.slides import ingest_apart, look_apart
from marrow_models.errors import Reason, SlideRefused
from marrow_models.pyramid.ingest import StoreReceipt, ingest_slide
from marrow_models.pyramid.store import Pyramid
from marrow_models.slides import identity
from marrow_models.slides.identity import Expected, digest_of, slide_id_of, stamps
from marrow_models.slides.inbox import content_digest, find_slides
from tests.faults.poison import GOOD, Batch
from tests.unit.slide_files.sources import Svs, picture, write_mirax


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch.at(tmp_path)


def expected(path: Path) -> Expected:
    """A slide as discovery knows it."""
    before = stamps((path,))
    return Expected(slide_id_of(digest_of(path, (path,), "aperio")), before)


def reason_of(call: Callable[[], StoreReceipt]) -> Reason | None:
    try:
        call()
    except SlideRefused as refusal:
        return refusal.reason
    return None


def touched(path: Path) -> None:
    """Change one byte and set the time of change back, as `cp -p` of other content does."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=times)


def test_a_slide_that_is_gone_is_asked_for_three_times_more(batch: Batch) -> None:
    """F26."""
    path = batch.inbox / GOOD[0]
    path.unlink()
    began = time.monotonic()
    reason = reason_of(
        lambda: ingest_apart(path, (path,), batch.stores / "s", um_per_px=None, waits_s=(0.1, 0.2, 0.4))
    )  # fmt: skip
    assert reason == Reason.SOURCE_GONE
    assert time.monotonic() - began >= 0.7
    assert not batch.stores.exists() or not list(batch.stores.iterdir())


def test_a_slide_that_comes_back_in_time_is_taken(batch: Batch) -> None:
    """F26."""
    path = batch.inbox / GOOD[0]
    away = path.rename(batch.inbox.parent / "away")
    back = threading.Timer(0.5, lambda: away.rename(path))
    back.start()
    receipt = ingest_apart(path, (path,), batch.stores / "s", um_per_px=None, waits_s=(1.0, 2.0, 4.0))
    back.join()
    assert receipt.copied_tiles == 4


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_while_it_is_read_is_a_source_that_is_gone(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """F26: an error of the file server in the middle of a tile is neither damage nor an unforeseen error."""
    path = batch.inbox / GOOD[0]
    read, calls = os.pread, 0

    def failing(descriptor: int, count: int, offset: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise OSError(code, os.strerror(code))
        return read(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", failing)
    assert reason_of(lambda: ingest_slide(path, (path,), batch.stores / "s", um_per_px=None)) == Reason.SOURCE_GONE


def test_a_file_changed_between_hash_and_read_is_not_taken_under_the_id_of_the_old_one(batch: Batch) -> None:
    """F27: same name, same size, same time of change."""
    path = batch.inbox / GOOD[0]
    listed = expected(path)
    touched(path)
    store = batch.store(listed.slide_id)
    reason = reason_of(lambda: ingest_apart(path, (path,), store, um_per_px=None, expected=listed))
    assert reason == Reason.SOURCE_CHANGED
    assert not list(batch.stores.iterdir())


def test_a_file_changed_while_it_is_read_is_not_taken(batch: Batch) -> None:
    """F27."""
    path = batch.inbox / GOOD[0]
    listed = expected(path)
    for known in (listed, None):
        reason = reason_of(
            lambda known=known: ingest_slide(
                path, (path,), batch.stores / "s", um_per_px=None, expected=known, opened=lambda: touched(path)
            )
        )
        assert reason == Reason.SOURCE_CHANGED
        touched(path)  # and back


def test_a_file_that_was_only_touched_is_hashed_again_and_taken(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """F27: a change of permissions or a copy with the same content costs a hash, not the slide."""
    path = batch.inbox / GOOD[0]
    listed = expected(path)
    hashed = []
    monkeypatch.setattr(identity, "_file_digest", lambda p, real=identity._file_digest: hashed.append(p) or real(p))
    ingest_slide(path, (path,), batch.stores / "a", um_per_px=None, expected=listed)
    assert hashed == []
    path.chmod(0o600)
    ingest_slide(path, (path,), batch.stores / "b", um_per_px=None, expected=listed)
    assert hashed == [path]
    ingest_slide(path, (path,), batch.stores / "c", um_per_px=None, expected=Expected(listed.slide_id, None))
    assert hashed == [path, path]


def test_a_change_in_any_file_of_a_slide_is_seen(batch: Batch) -> None:
    """F27."""
    path = write_mirax(batch.inbox / "m.mrxs", picture(512, 256))
    entry = next(e for e in find_slides(batch.inbox, look_apart)[0] if e.path == path)
    listed = Expected(slide_id_of(content_digest(entry)), stamps(entry.members))
    call = lambda: ingest_apart(path, entry.members, batch.stores / "m", um_per_px=None, expected=listed)  # noqa: E731
    touched(batch.inbox / "m" / "Data0000.dat")
    assert reason_of(call) == Reason.SOURCE_CHANGED
    touched(batch.inbox / "m" / "Data0000.dat")
    assert reason_of(call) is None


def test_the_same_content_under_two_names_is_one_slide(batch: Batch) -> None:
    """F22."""
    (batch.inbox / "copy.svs").write_bytes((batch.inbox / GOOD[0]).read_bytes())
    batch.run()
    assert len(list(batch.stores.iterdir())) == len(GOOD)


def test_a_rescan_under_the_same_name_is_another_slide_and_the_old_store_stays(batch: Batch) -> None:
    """F23."""
    batch.run()
    before = {store.name for store in batch.stores.iterdir()}
    Svs(picture(300, 260, seed=77), factors=()).write(batch.inbox / GOOD[0])
    batch.run()
    stores = {store.name for store in batch.stores.iterdir()}
    assert before < stores
    assert len(stores - before) == 1
    assert all(Pyramid.open(batch.stores / name) for name in before)


def test_two_workers_with_the_same_slide_make_one_store(batch: Batch) -> None:
    """F24."""
    path, store = batch.inbox / GOOD[0], batch.stores / "s"
    with ThreadPoolExecutor(4) as workers:
        receipts = list(workers.map(lambda _: ingest_apart(path, (path,), store, um_per_px=None), range(8)))
    assert len(set(receipts)) == 1
    assert [left.name for left in batch.stores.iterdir()] == ["s"]
    assert Pyramid.open(store).info.width_px == 300
