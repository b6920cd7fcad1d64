"""Memory of a worker and of its decoder stays flat however many slides they have taken, and whatever a slide's size."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster

from marrow_models.bundle import Bundle, load_bundle
from marrow_models.decoder.slides import ingest_apart
from marrow_models.phantom.night import SlideScale, make_phantom
from marrow_models.survey import choose_fields, pieces_of_work
from tasks.analyse import analyse_stored_fields
from tasks.survey import survey_store
from tasks.workers import Workers
from tests.faults.poison import fresh_decoder, peak_memory_mb
from tests.unit.slide_files.sources import jpeg_of, picture

SMALL = SlideScale(width_px=1024, height_px=1024, cells=(25, 30))
INGEST_MB, SURVEY_MB = 250, 400
"""Measured: 89 and 215, of which 67 and about 200 are the modules."""
WORKER_MB, DECODER_MB = 24, 8
"""How much more a process may hold after all slides than after the first ones, without the tiles that a worker keeps.
Measured from slide 4 to 12: 2.4 and 0.1; from slide 10 to 100: 8.8 and 0.3."""


@pytest.fixture
def workers() -> Iterator[Workers]:
    """One worker process under its nanny, as a night has."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield Workers.of(client, 300)


def take(workers: Workers, source: Path, store: Path, bundle: Bundle) -> int:
    """A slide through the functions that a night calls on its workers; how many cells it has."""
    name = store.name
    receipt = workers.call(f"ingest-{name}", ingest_apart, source, (source,), store, um_per_px=None)
    survey = workers.call(f"survey-{name}", survey_store, store, bundle.path, bundle.digest)
    groups = pieces_of_work(choose_fields(survey, None), receipt.um_per_px)
    cells = 0
    for number, group in enumerate(groups):
        arguments = store, group, bundle.path, bundle.digest, 16, 256
        cells += len(workers.call(f"fields-{name}-{number}", analyse_stored_fields, *arguments).cells)
    return cells


def tiles_mb() -> float:
    """On the worker: what its cache of tiles holds, which has a limit of its own."""
    from marrow_models.pyramid import store

    return store._TILES.nbytes / 2**20


def held_mb(workers: Workers) -> tuple[float, float]:
    """What the worker holds besides its tiles, and what its decoder holds."""
    ((pid, tiles),) = workers.client.run(lambda: (__import__("os").getpid(), tiles_mb())).values()
    worker = psutil.Process(pid)
    (decoder,) = [child for child in worker.children() if "marrow_models.decoder.child" in child.cmdline()]
    return worker.memory_info().rss / 2**20 - tiles, decoder.memory_info().rss / 2**20


def grown_mb(workers: Workers, folder: Path, *, slides: int, first: int) -> tuple[float, float]:
    """How much worker and decoder grew from the ``first`` slides to the last."""
    night = make_phantom(folder / "inbox", seed=31, patients=4, slides_per_patient=1, scale=SMALL)
    sources = [folder / "inbox" / slide.file for slide in night.slides]
    bundle = load_bundle("phantom")
    before = (0.0, 0.0)
    for number in range(slides):
        store = folder / f"slide-{number}.ome.zarr"
        assert take(workers, sources[number % len(sources)], store, bundle) > 10
        shutil.rmtree(store)
        if number + 1 == first:
            before = held_mb(workers)
    after = held_mb(workers)
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.slow
def test_a_worker_holds_no_more_after_twelve_slides_than_after_four(workers: Workers, tmp_path: Path) -> None:
    worker, decoder = grown_mb(workers, tmp_path, slides=12, first=4)
    assert worker < WORKER_MB
    assert decoder < DECODER_MB


@pytest.mark.chaos
def test_a_worker_holds_no_more_after_a_hundred_slides_than_after_ten(workers: Workers, tmp_path: Path) -> None:
    worker, decoder = grown_mb(workers, tmp_path, slides=100, first=10)
    assert worker < WORKER_MB
    assert decoder < DECODER_MB


def write_sparse_slide(path: Path, side_px: int, *, tile: int = 512, different: int = 60, times: int = 6) -> int:
    """A BigTIFF slide of one level whose tiles are mostly missing; ``different`` ones are each there ``times`` times,
    scattered. Returns how many tiles are there. Just honest enough for the ratio of claimed to real bytes."""
    rng = np.random.default_rng(5)
    seen = picture(tile, tile) // 2 + 60
    noise = (rng.integers(0, 24, (tile, tile, 3), dtype=np.uint8) for _ in range(different))
    streams = [jpeg_of(np.roll(seen, 8 * number, axis=1) + grain) for number, grain in enumerate(noise)]
    columns = -(-side_px // tile)
    places = np.sort(rng.choice(columns * columns, different * times, replace=False))
    starts = 16 + np.cumsum([0, *map(len, streams)])[:-1]
    offsets, counts = np.zeros(columns * columns, "<u8"), np.zeros(columns * columns, "<u8")
    chosen = np.arange(len(places)) % different
    offsets[places], counts[places] = starts[chosen], np.array([len(s) for s in streams], "<u8")[chosen]
    body = b"".join(streams)
    tables = 16 + len(body)
    centimetre = int.from_bytes(struct.pack("<II", 40_000, 1), "little")
    tags = [
        (256, 4, 1, side_px), (257, 4, 1, side_px), (258, 3, 3, int.from_bytes(struct.pack("<3H", 8, 8, 8), "little")),
        (259, 3, 1, 7), (262, 3, 1, 6), (277, 3, 1, 3), (282, 5, 1, centimetre), (283, 5, 1, centimetre),
        (296, 3, 1, 3), (322, 4, 1, tile), (323, 4, 1, tile), (324, 16, len(offsets), tables),
        (325, 16, len(counts), tables + offsets.nbytes),
    ]  # fmt: skip
    directory = struct.pack("<Q", len(tags)) + b"".join(struct.pack("<HHQQ", *tag) for tag in tags) + bytes(8)
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, tables + 2 * offsets.nbytes)
    path.write_bytes(head + body + offsets.tobytes() + counts.tobytes() + directory)
    return len(places)


SURVEY = """
import json, pathlib, sys
from marrow_models.bundle import load_bundle
from tasks.survey import survey_store
bundle = load_bundle("phantom")
found = survey_store(pathlib.Path(sys.argv[1]), bundle.path, bundle.digest)
status = pathlib.Path("/proc/self/status").read_text()
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
print(json.dumps([found.rejected_mm2, found.readable_mm2, peak]))
"""


@pytest.mark.slow
def test_a_slide_of_a_hundred_thousand_pixels_a_side_is_taken_and_surveyed_in_bounded_memory(tmp_path: Path) -> None:
    """R6: 10^10 px, most of them never scanned."""
    side = 100_000
    source, store = tmp_path / "large.tif", tmp_path / "s.ome.zarr"
    present = write_sparse_slide(source, side)
    with fresh_decoder() as pid:
        receipt = ingest_apart(source, (source,), store, um_per_px=None)
        assert peak_memory_mb(pid) <= INGEST_MB
    assert (receipt.width_px, receipt.height_px, receipt.copied_tiles) == (side, side, present)
    assert receipt.missing_px == 0
    assert 0 < side * side - receipt.unscanned_px <= present * 512 * 512

    done = subprocess.run([sys.executable, "-c", SURVEY, store], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    rejected_mm2, readable_mm2, peak_mb = json.loads(done.stdout)
    assert peak_mb <= SURVEY_MB
    assert rejected_mm2["missing"] == pytest.approx(receipt.unscanned_px * receipt.um_per_px**2 / 1e6, rel=0.01)
    whole_mm2 = (side * receipt.um_per_px) ** 2 / 1e6
    assert sum(rejected_mm2.values()) + readable_mm2 == pytest.approx(whole_mm2)
