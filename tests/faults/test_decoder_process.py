"""The decoder process dies, hangs or fills up: one slide is lost, its reason is told, and everything else goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from marrow_models.decoder import pool
from marrow_models.decoder.pool import POOL
from marrow_models.decoder.process import DecoderProcess, NoDecoder
from marrow_models.decoder.slides import DecoderLimits, ingest_apart, look_apart
from marrow_models.errors import Reason, SlideRefused
from marrow_models.pyramid.ingest import ingest_slide
from marrow_models.slides.identity import digest_of, slide_id_of
from marrow_models.slides.inbox import find_slides
from tests.faults.poison import GOOD, TAKEN, Batch, fresh_decoder, peak_memory_mb
from tests.unit.slide_files.sources import Svs, picture, write_tiff

CHILD = "marrow_models.decoder.child"


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch.at(tmp_path)


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide that takes a second or more: 2,304 tiles, and two levels to be made."""
    return Svs(picture(3072, 3072), factors=(), tile=64).write(tmp_path_factory.mktemp("large") / "large.svs")


@pytest.fixture
def large(batch: Batch, large_file: Path) -> Path:
    return Path(shutil.copy(large_file, batch.inbox))


def decoders() -> list[psutil.Process]:
    """Decoder processes under this one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if CHILD in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found


class Attack(threading.Thread):
    """Sends a signal to the decoder processes whenever one of them is in the middle of the store of ``slide``."""

    def __init__(self, batch: Batch, slide: Path, sent: signal.Signals, times: int) -> None:
        super().__init__()
        self.partial = batch.store(slide_id_of(digest_of(slide, (slide,), "aperio"))).name + ".partial-*"
        self.stores, self.sent, self.times = batch.stores, sent, times
        self.hits = 0
        self.over = threading.Event()

    def run(self) -> None:
        seen: set[Path] = set()
        while not self.over.wait(0.01) and self.hits < self.times:
            writing = {path for path in self.stores.glob(self.partial) if list(path.glob("0/c/*"))} - seen
            if writing:
                seen |= writing
                self.hits += 1
                for process in decoders():
                    process.send_signal(self.sent)

    def __enter__(self) -> Attack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    yield
    POOL.close()
    assert not decoders(), "a decoder process outlived the pool"


def test_a_decoder_that_dies_twice_of_a_slide_costs_that_slide(batch: Batch, large: Path) -> None:
    """F10."""
    with Attack(batch, large, signal.SIGSEGV, times=2) as attack:
        assert batch.run() == {"large.svs": (Reason.DECODER_CRASH, "ingest"), **dict.fromkeys(GOOD, TAKEN)}
    assert attack.hits == 2


def test_a_decoder_that_dies_once_is_replaced_and_nobody_notices(batch: Batch, large: Path) -> None:
    """F10."""
    with Attack(batch, large, signal.SIGSEGV, times=1) as attack:
        assert batch.poison() == TAKEN
    assert attack.hits == 1
    assert not list(batch.stores.glob("*.partial-*"))


def test_the_cause_of_death_is_told_without_a_name(batch: Batch, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F10."""
    _dies_of(monkeypatch, "large.svs")
    with pytest.raises(SlideRefused) as caught:
        ingest_apart(large, (large,), batch.stores / "s", um_per_px=None)
    assert (caught.value.reason, caught.value.detail) == (Reason.DECODER_CRASH, "SIGSEGV")


def test_a_decoder_that_dies_of_a_file_at_listing_costs_that_file(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F10, at listing."""
    Svs(picture(100, 100)).write(batch.inbox / "a-first.svs")
    deaths = _dies_of(monkeypatch, "a-first.svs")
    assert batch.poison() == (Reason.DECODER_CRASH, "listing")
    assert len(deaths) == 2


def _dies_of(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """Every decoder process gets a SIGSEGV as it is given a job that begins with this file."""
    deaths: list[int] = []
    send = DecoderProcess.send

    def fatal(self: DecoderProcess, job: str, request: dict, **limits: float) -> None:
        first = request["path"] if job == "ingest" else request["paths"][0]
        if first.endswith(name):
            deaths.append(self.pid)
            os.kill(self.pid, signal.SIGSEGV)
        send(self, job, request, **limits)

    monkeypatch.setattr(DecoderProcess, "send", fatal)
    return deaths


def test_a_decoder_that_hangs_is_killed_at_the_limit(batch: Batch, large: Path) -> None:
    """F11."""
    with Attack(batch, large, signal.SIGSTOP, times=1) as attack:
        began = time.monotonic()
        end = batch.poison(DecoderLimits(slide_s=4.0))
    assert (end, attack.hits) == ((Reason.TIMEOUT, "ingest"), 1)
    assert time.monotonic() - began < 30


def test_a_slide_that_takes_longer_than_its_limit_is_stopped(batch: Batch, large: Path) -> None:
    """F11, with a decoder that works but is slow."""
    with pytest.raises(SlideRefused) as caught:
        ingest_apart(large, (large,), batch.stores / "s", um_per_px=None, limits=DecoderLimits(slide_s=0.02))
    assert (caught.value.reason, caught.value.detail) == (Reason.TIMEOUT, "not ingested within 0.02 s")
    assert not list(batch.stores.iterdir())


def test_a_file_that_the_decoder_hangs_on_at_listing_costs_that_file(batch: Batch) -> None:
    """F11, at listing."""
    with fresh_decoder() as pid:
        os.kill(pid, signal.SIGSTOP)
        entries, refused = find_slides(batch.inbox, lambda paths: look_apart(paths, limits=DecoderLimits(open_s=2.0)))
    assert [entry.relative_name for entry in entries] == [GOOD[1]]
    assert [(bad.relative_name, bad.reason) for bad in refused] == [(GOOD[0], Reason.TIMEOUT)]


def test_a_slide_that_needs_more_memory_than_allowed_is_refused_for_it(batch: Batch) -> None:
    """F07 by its effect: 300 MB of pixels in one strip, in a process of 450 MB; the same slide is fine in a larger."""
    write_tiff(
        batch.inbox / "strip.tif", np.zeros((8000, 12_500, 3), np.uint8), rowsperstrip=8000, compression="zlib"
    )  # fmt: skip
    assert batch.poison(DecoderLimits(memory_bytes=450 << 20)) == (Reason.MEMORY, "ingest")
    assert batch.poison() == TAKEN


def test_the_decoder_inherits_no_secret_and_leaves_no_core_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARROW_KEY_FILE", "SECRET-4711")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET-4711")
    with fresh_decoder() as pid:
        proc = Path(f"/proc/{pid}")
        assert b"SECRET-4711" not in (proc / "environ").read_bytes()
        assert b"HOME=" not in (proc / "environ").read_bytes()
        (core,) = (line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        assert {(proc / "fd" / n).readlink().name for n in "012"} == {"null"}


def test_the_decoder_is_light(batch: Batch) -> None:
    with fresh_decoder() as pid:
        batch.run()
        assert peak_memory_mb(pid) < 200
    loaded = "import sys, marrow_models.decoder.child; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "monai", "prefect", "distributed", "duckdb", "pandas"} & set(modules)


def test_many_slides_share_one_process_until_it_is_replaced(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "JOBS_PER_PROCESS", 3)
    with fresh_decoder() as first:
        batch.run()  # one listing and two slides
        with POOL.lend() as process:
            assert process.pid != first
    assert not psutil.pid_exists(first)


def test_the_decoder_gives_the_same_store_as_this_process(batch: Batch) -> None:
    path = batch.inbox / GOOD[0]
    here = ingest_slide(path, (path,), batch.stores / "here", um_per_px=None)
    assert ingest_apart(path, (path,), batch.stores / "apart", um_per_px=None) == here
    assert files_of(batch.stores / "here") == files_of(batch.stores / "apart")


def files_of(store: Path) -> dict[Path, bytes]:
    return {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_an_error_that_nobody_foresaw_keeps_its_place_and_loses_its_text(batch: Batch) -> None:
    with pytest.raises(SlideRefused) as caught:
        ingest_apart(batch.inbox / GOOD[0], (), batch.stores / "s", um_per_px=None, profile="no such")  # type: ignore[arg-type]
    assert caught.value.reason == Reason.INTERNAL
    assert caught.value.detail.startswith("UserError at pyramid/plan.py:")


def test_a_decoder_ends_with_whoever_started_it(tmp_path: Path) -> None:
    code = "from marrow_models.decoder.process import DecoderProcess\nprint(DecoderProcess().pid, flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        child = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    assert not psutil.wait_procs([child], timeout=10)[1]


def test_an_installation_without_a_decoder_says_so_and_blames_no_slide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(NoDecoder, match="does not start"):
        DecoderProcess()


@pytest.mark.slow
def test_the_worker_survives_what_its_decoder_dies_of(batch: Batch, large: Path) -> None:
    """F10, on a Dask worker."""
    from distributed import Client, LocalCluster

    from tasks.workers import Workers

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        workers = Workers.of(client, 60)
        before = workers.call("pid-1", os.getpid)
        store = batch.store(slide_id_of(digest_of(large, (large,), "aperio")))
        with Attack(batch, large, signal.SIGSEGV, times=2), pytest.raises(SlideRefused) as caught:
            workers.call("poison", ingest_apart, large, (), store, um_per_px=None)
        assert caught.value.reason == Reason.DECODER_CRASH
        good = batch.inbox / GOOD[0]
        assert workers.call("good", ingest_apart, good, (), batch.stores / "good", um_per_px=None).copied_tiles == 4
        assert workers.call("pid-2", os.getpid) == before
