"""The least that ingest and reading can cost: bare loops over compressed tiles, without checks, records or marks.

Written for the slides of :mod:`tests.benchmarks.slides` alone: square, every tile whole, JPEG that stands alone.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from marrow_models.pyramid.codec import ZSTD_LEVEL

Pixels = NDArray[np.uint8]
THREADS = 2
LEAST_PX = 1024
"""The longer side of the coarsest level, as in our stores."""
MADE_QUALITY = 90
LOW_POWER_LEVEL = "2"
"""Of stores of slides at 0.25 um/px."""
SHARD_TILES = 32
"""Across and down the shards of their levels, where these are large."""


def jpeg_decode(stream: bytes) -> Pixels:
    """Decode one tile to RGB."""
    pixels: Pixels = imagecodecs.jpeg8_decode(stream, colorspace="YCBCR", outcolorspace="RGB")
    return pixels


def jpeg_encode(pixels: Pixels) -> bytes:
    """Encode one tile of a made level."""
    return imagecodecs.jpeg8_encode(
        np.ascontiguousarray(pixels), level=MADE_QUALITY, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
    )


def zstd_encode(pixels: Pixels) -> bytes:
    """Encode one tile plane by plane, as a Zarr chunk of (3, height, width)."""
    return imagecodecs.zstd_encode(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)), level=ZSTD_LEVEL)


def halved(pixels: Pixels) -> Pixels:
    """Average 2 x 2 pixels, colour by colour: over twice as fast as all three at once."""
    rows = pixels[0::2].astype(np.uint16) + pixels[1::2] + 1
    out = np.empty((rows.shape[0], rows.shape[1] // 2, 3), np.uint8)
    for channel in range(3):
        out[..., channel] = (rows[:, 0::2, channel] + rows[:, 1::2, channel]) >> 2
    return out


def copy_tiles(source: str, out: str) -> None:
    """Copy the compressed tiles of all levels into one file a level."""
    Path(out).mkdir()
    with tifffile.TiffFile(source) as tiff:
        descriptor = tiff.filehandle.fileno()
        for number, page in enumerate(tiff.pages):
            with (Path(out) / f"{number}").open("wb") as file:
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                    file.write(os.pread(descriptor, count, offset))


def make_pyramid(source: str, out: str, mode: str) -> None:
    """Level 0 copied or re-coded, lower levels averaged and encoded, one file a level, two threads.

    ``mode``: ``copy`` copies level 0 and encodes the others as JPEG; ``zstd`` encodes all as zstd.
    """
    Path(out).mkdir()
    encode: Callable[[Pixels], bytes] = jpeg_encode if mode == "copy" else zstd_encode
    with tifffile.TiffFile(source) as tiff, ThreadPoolExecutor(THREADS) as threads:
        page, descriptor = tiff.pages[0].aspage(), tiff.filehandle.fileno()
        side, tile = int(page.imagewidth), int(page.tilewidth)
        columns = side // tile
        half = np.empty((side // 2, side // 2, 3), np.uint8)
        level = _Level(Path(out) / "0")
        is_jpeg = int(page.compression) == 7

        def first(index: int) -> None:
            row, column = divmod(index, columns)
            data = os.pread(descriptor, page.databytecounts[index], page.dataoffsets[index])
            pixels = jpeg_decode(data) if is_jpeg else page.decode(data, index)[0][0]
            level.append(data if mode == "copy" else encode(pixels))
            _put(half, row, column, halved(pixels))

        list(threads.map(first, range(columns * columns)))
        above, number = half, 1
        while True:
            level = _Level(Path(out) / f"{number}")
            below = np.empty((above.shape[0] // 2, above.shape[1] // 2, 3), np.uint8)
            columns = above.shape[1] // tile

            def lower(index: int, level=level, above=above, below=below, columns=columns) -> None:
                row, column = divmod(index, columns)
                pixels = above[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
                level.append(encode(pixels))
                _put(below, row, column, halved(pixels))

            list(threads.map(lower, range(columns * columns)))
            if above.shape[0] <= LEAST_PX:
                return
            above, number = below, number + 1


class _Level:
    """One growing file: bytes are appended by whichever thread has them."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        self._end, self._lock = 0, Lock()

    def append(self, data: bytes) -> None:
        with self._lock:
            start = self._end
            self._end += len(data)
        os.pwrite(self._descriptor, data, start)


def _put(half: Pixels, row: int, column: int, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    half[row * height : (row + 1) * height, column * width : (column + 1) * width] = pixels


def random_regions(side_px: int, *, first: bool) -> list[tuple[int, int]]:
    """Corners (x, y) of 50 regions of 512 px in the first or the second half of a slide: the halves share no tile."""
    rng = random.Random(int(first))
    half = side_px // 2
    start, end = (0, half - 512) if first else (half, side_px - 512)
    return [(rng.randrange(start, end), rng.randrange(side_px - 512)) for _ in range(50)]


def medians(read: Callable[[int, int], object], side_px: int) -> dict[str, float]:
    """Read 50 regions of one half, so that nothing is done for the first time, then measure 50 of the other."""
    for x, y in random_regions(side_px, first=True):
        read(x, y)
    walls, cpus = [], []
    for x, y in random_regions(side_px, first=False):
        wall, cpu = time.perf_counter(), time.thread_time()
        read(x, y)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.thread_time() - cpu)
    return {"wall_ms": statistics.median(walls) * 1e3, "cpu_ms": statistics.median(cpus) * 1e3}


def read_regions(source: str) -> dict[str, float]:
    """Decode the tiles under random regions of level 0, and do nothing with them."""
    with tifffile.TiffFile(source) as tiff:
        page, descriptor = tiff.pages[0].aspage(), tiff.filehandle.fileno()
        tile, columns = int(page.tilewidth), int(page.imagewidth) // int(page.tilewidth)
        offsets, counts = page.dataoffsets, page.databytecounts

        def read(x: int, y: int) -> None:
            for row in range(y // tile, (y + 511) // tile + 1):
                for column in range(x // tile, (x + 511) // tile + 1):
                    index = row * columns + column
                    jpeg_decode(os.pread(descriptor, counts[index], offsets[index]))

        return medians(read, int(page.imagewidth))


def read_low_power(store: str) -> int:
    """Decode every chunk of the level that a survey at 1 um/px reads (each four times as coarse as level 0)."""
    tiles = 0
    for shard in sorted((Path(store) / LOW_POWER_LEVEL / "c" / "0").glob("*/*")):
        data = shard.read_bytes()
        across = SHARD_TILES
        index = np.frombuffer(data[-16 * across * across - 4 : -4], "<u8").reshape(-1, 2)
        for offset, length in index[index[:, 1] != 2**64 - 1].tolist():
            jpeg_decode(data[offset : offset + length])
            tiles += 1
    return tiles
