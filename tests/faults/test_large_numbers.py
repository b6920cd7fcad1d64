"""Many slides, large files and many cells: in bounded time and memory."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import imagecodecs
import numpy as np
import psutil
import pytest

from marrow_models.decoder.slides import ingest_apart, look_apart
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import CellTable, Rect
from marrow_models.slides.inbox import find_slides
from tests.faults.poison import Batch, fresh_decoder, peak_memory_mb
from tests.unit.slide_files.sources import jpeg_of, picture, write_tiff
from tests.unit.store_house.factories import LABELS, analysis_record, begin_night, slide_record
from warehouse.connection import open_warehouse
from warehouse.load import load_slide


def test_ten_thousand_slides_are_listed_in_seconds_in_flat_memory(tmp_path: Path) -> None:
    """F31: 5,000 of them poisoned."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    slide = write_tiff(tmp_path / "0.tif", picture(300, 260))
    forged = tmp_path / "forged.svs"
    forged.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(300))
    for number in range(5_000):
        (inbox / f"{number}.tif").hardlink_to(slide)
        (inbox / f"{number}.svs").hardlink_to(forged)
    with fresh_decoder() as pid:
        decoder = psutil.Process(pid)
        began = time.process_time() + sum(decoder.cpu_times()[:2])
        entries, refused = find_slides(inbox, look_apart)
        assert time.process_time() + sum(decoder.cpu_times()[:2]) - began < 8  # of both processes, one after the other
        assert peak_memory_mb(pid) < 150
    assert (len(entries), len(refused)) == (5_000, 5_000)


def test_a_slide_whose_pixels_lie_behind_four_gigabytes_is_taken(tmp_path: Path) -> None:
    """F17: a BigTIFF of 5 GiB, most of it a hole."""
    pixels, start = picture(512, 256), 5 << 30
    tags = [
        (256, 4, 1, 512), (257, 4, 1, 256), (258, 3, 3, int.from_bytes(struct.pack("<3H", 8, 8, 8), "little")),
        (259, 3, 1, 1), (262, 3, 1, 2), (277, 3, 1, 3), (273, 16, 1, start), (278, 4, 1, 256),
        (279, 16, 1, pixels.nbytes),
        (282, 5, 1, int.from_bytes(struct.pack("<II", 40_000, 1), "little")),
        (283, 5, 1, int.from_bytes(struct.pack("<II", 40_000, 1), "little")), (296, 3, 1, 3),
    ]  # fmt: skip
    directory = struct.pack("<Q", len(tags)) + b"".join(struct.pack("<HHQQ", *tag) for tag in sorted(tags)) + bytes(8)
    batch = Batch.at(tmp_path)
    path = batch.inbox / "large.tif"
    with path.open("wb") as file:
        file.write(b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + directory)
        file.seek(start)
        file.write(pixels.tobytes())
    entries, _ = find_slides(batch.inbox, look_apart)
    assert "large.tif" in {entry.relative_name for entry in entries}
    ingest_apart(path, (path,), batch.stores / "s", um_per_px=None)
    np.testing.assert_array_equal(Pyramid.open(batch.stores / "s").region(0, Rect(0, 0, 512, 256)), pixels)


def test_an_ndpi_slide_whose_directory_and_pixels_lie_behind_four_gigabytes_is_taken(tmp_path: Path) -> None:
    """F17: offsets of 32 bits whose upper halves follow the directory, as Hamamatsu writes them."""
    seen, start = picture(512, 256), 5 << 30
    stream = jpeg_of(seen)
    values = struct.pack("<3H", 8, 8, 8) + b"\0\0" + struct.pack("<II", 40_000, 1)
    bits, size = start + len(stream), start + len(stream) + 8
    tags = [
        (256, 4, 1, 512), (257, 4, 1, 256), (258, 3, 3, bits), (259, 3, 1, 7), (262, 3, 1, 6), (273, 4, 1, start),
        (277, 3, 1, 3), (278, 4, 1, 256), (279, 4, 1, len(stream)), (282, 5, 1, size), (283, 5, 1, size),
        (296, 3, 1, 3), (65420, 4, 1, 1), (65421, 11, 1, int.from_bytes(struct.pack("<f", 20.0), "little")),
    ]  # fmt: skip
    low = b"".join(struct.pack("<HHII", code, kind, count, value & 0xFFFFFFFF) for code, kind, count, value in tags)
    high = b"".join(struct.pack("<I", value >> 32) for *_, value in tags)
    batch = Batch.at(tmp_path)
    path = batch.inbox / "large.ndpi"
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<Q", size + 8))
        file.seek(start)
        file.write(stream + values + struct.pack("<H", len(tags)) + low + bytes(8) + high)
    entries, _ = find_slides(batch.inbox, look_apart)
    assert "large.ndpi" in {entry.relative_name for entry in entries}
    receipt = ingest_apart(path, (path,), batch.stores / "s", um_per_px=None)
    assert receipt.um_per_px == pytest.approx(0.25)
    decoded = imagecodecs.jpeg8_decode(stream)
    np.testing.assert_array_equal(Pyramid.open(batch.stores / "s").region(0, Rect(0, 0, 512, 256)), decoded)


@pytest.mark.slow
def test_a_slide_of_two_million_cells_is_loaded(tmp_path: Path) -> None:
    """F32."""
    count = 2_000_000
    cells = many_cells(count)
    with open_warehouse(tmp_path / "marrow.duckdb") as warehouse:
        begin_night(warehouse)
        tracemalloc.start()
        load_slide(warehouse, slide_record(), analysis_record(cells, fields=1), cells)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert warehouse.count("fact_cell") == count
    assert peak < 2 << 30


def many_cells(count: int) -> CellTable:
    rng = np.random.default_rng(2)
    chances = rng.random((count, len(LABELS)), np.float32)
    chances /= chances.sum(axis=1, keepdims=True)
    side = np.full(count, 12, np.float32)
    x, y = rng.random(count) * 250, np.sort(rng.random(count)) * 250
    field = np.zeros(count, np.int32)
    return CellTable(x, y, side, side, rng.random(count, np.float32), chances, field, np.zeros(count, bool), LABELS)
