"""Large synthetic slides: a drawn smear that repeats, so that any size is made in seconds; kept from run to run.

A slide is a mosaic of one drawn block of 2,048 px, compressed as scanners do (JPEG q85, 4:2:0, tiles of 256 px). Its
tiles are encoded once for each level and then written as often as the mosaic has them: to a program that copies or
decodes them they are as many different tiles.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from marrow_models.phantom.smear import SmearSpec, render_smear

Pixels = NDArray[np.uint8]
BLOCK_PX, TILE_PX = 2048, 256
UM_PER_PX = 0.25
QUALITY = 85
CELLS = (
    "segmented_neutrophil",
    "lymphocyte",
    "polychromatic_erythroblast",
    "neutrophilic_myelocyte",
    "myelocytic_blast",
)
LARGEST_RATIO = 8_000
"""Decoded bytes a byte of the file: a slide that claims more is refused."""
VERSION = 1
"""Of the drawing: slides of another version are made anew."""


def folder() -> Path:
    """Where slides are kept: ``BENCH_SLIDES``, else below the system's folder for temporary files."""
    chosen = os.environ.get("BENCH_SLIDES")
    path = Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"marrow-benchmarks-{os.getuid()}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def tiled_slide(side_px: int, *, pyramid: bool) -> Path:
    """A TIFF slide of ``side_px`` x ``side_px`` in JPEG tiles; with halved levels down to 512 px, or without any."""
    name = f"smear-{side_px}{'-pyramid' if pyramid else ''}.tif"
    return _kept(name, lambda path: _write_mosaic(path, side_px, pyramid=pyramid))


def flat_slide(side_px: int) -> Path:
    """:func:`tiled_slide` without a pyramid."""
    return tiled_slide(side_px, pyramid=False)


def lossless_slide(side_px: int) -> Path:
    """The same picture in deflated tiles: a source that is re-coded."""
    return _kept(f"smear-{side_px}-deflate.tif", lambda path: _write_deflated(path, side_px))


def sparse_slide(side_px: int, *, scanned: float, cells: float) -> Path:
    """A BigTIFF slide of one level of which a disc in the middle was scanned.

    ``scanned`` is the share of the slide's blocks that have any tile, ``cells`` the share that shows a smear; the rest
    of what was scanned is bare glass. The tiles lie in the file once and are pointed at from wherever they show, so
    the source stays small at any size; a store holds each of them.
    """
    name = f"sparse-{side_px}-{scanned:g}-{cells:g}.tif"
    return _kept(name, lambda path: _write_sparse(path, side_px, scanned, cells))


def block() -> Pixels:
    """The drawn smear, shape (2048, 2048, 3); drawn once and kept."""

    def draw(path: Path) -> None:
        labels = tuple(CELLS[number % len(CELLS)] for number in range(150))
        spec = SmearSpec(labels, BLOCK_PX, BLOCK_PX, UM_PER_PX)
        with path.open("wb") as file:
            np.save(file, render_smear(np.random.default_rng(7), spec).image)

    return np.asarray(np.load(_kept("block.npy", draw)))


def glass() -> Pixels:
    """Bare glass as a camera sees it, with its noise, shape (2048, 2048, 3)."""
    rng = np.random.default_rng(8)
    noise = rng.normal(0, 2.0, (BLOCK_PX, BLOCK_PX, 1)) + rng.normal(0, 1.0, (BLOCK_PX, BLOCK_PX, 3))
    return np.asarray((np.array([240.0, 238.0, 241.0]) + noise).clip(0, 255), np.uint8)


def streams_of(picture: Pixels) -> list[list[bytes]]:
    """JPEG streams of the tiles of a periodic picture, row by row; one that is smaller than a tile fills it."""
    times = max(1, TILE_PX // picture.shape[0])
    full = np.tile(picture, (times, times, 1))
    cut = range(0, full.shape[0], TILE_PX)
    return [[_jpeg(full[top : top + TILE_PX, left : left + TILE_PX]) for left in cut] for top in cut]


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    path = folder() / f"v{VERSION}-{name}"
    if not path.exists():
        half = path.with_name(f"{path.name}.{os.getpid()}")
        make(half)
        half.replace(path)
    return path


def _jpeg(pixels: Pixels) -> bytes:
    return bytes(
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(pixels), level=QUALITY, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
        )
    )


def _halved(pixels: Pixels) -> Pixels:
    sums = pixels.astype(np.uint16)
    return ((sums[0::2, 0::2] + sums[1::2, 0::2] + sums[0::2, 1::2] + sums[1::2, 1::2] + 2) >> 2).astype(np.uint8)


@lru_cache(maxsize=1)
def _levels_of_block() -> list[Pixels]:
    levels = [block()]
    while levels[-1].shape[0] > 16:
        levels.append(_halved(levels[-1]))
    return levels


def _write_mosaic(path: Path, side_px: int, *, pyramid: bool) -> None:
    def tiles(side: int, streams: list[list[bytes]]) -> Iterator[bytes]:
        for row in range(-(-side // TILE_PX)):
            line = streams[row % len(streams)]
            for column in range(-(-side // TILE_PX)):
                yield line[column % len(line)]

    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for number, picture in enumerate(_levels_of_block()):
            side = side_px >> number
            if number and (not pyramid or side < 512):
                break
            tiff.write(
                tiles(side, streams_of(picture)),
                shape=(side, side, 3),
                dtype=np.uint8,
                tile=(TILE_PX, TILE_PX),
                compression="jpeg",
                photometric="ycbcr",
                subsampling=(2, 2),
                subfiletype=1 if number else 0,
                resolution=(1e4 / UM_PER_PX / 2**number,) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
            )


def _write_deflated(path: Path, side_px: int) -> None:
    times = side_px // BLOCK_PX
    tifffile.imwrite(
        path,
        np.tile(block(), (times, times, 1)),
        bigtiff=True,
        tile=(TILE_PX, TILE_PX),
        compression="zlib",
        compressionargs={"level": 1},
        photometric="rgb",
        resolution=(1e4 / UM_PER_PX,) * 2,
        resolutionunit="CENTIMETER",
        metadata=None,
    )


def _write_sparse(path: Path, side_px: int, scanned: float, cells: float) -> None:
    smear, bare = (np.array(streams_of(picture), object) for picture in (block(), glass()))
    offsets_of: dict[bool, NDArray[np.uint64]] = {}
    body, position = [], 16
    for shows_cells, streams in ((True, smear), (False, bare)):
        lengths = np.array([[len(stream) for stream in line] for line in streams], "<u8")
        starts = position + np.concatenate(([0], np.cumsum(lengths.ravel())[:-1])).astype("<u8")
        offsets_of[shows_cells] = np.stack((starts.reshape(lengths.shape), lengths), axis=-1)
        body += [stream for line in streams for stream in line]
        position += int(lengths.sum())
    tiles, blocks = -(-side_px // TILE_PX), -(-side_px // BLOCK_PX)
    y, x = np.mgrid[:blocks, :blocks]
    rank = np.argsort(np.argsort(np.hypot(y - blocks / 2, x - blocks / 2), axis=None)).reshape(blocks, blocks)
    offsets, counts = np.zeros((tiles, tiles), "<u8"), np.zeros((tiles, tiles), "<u8")
    per = BLOCK_PX // TILE_PX
    for row, column in np.argwhere(rank < scanned * blocks * blocks):
        places = offsets_of[bool(rank[row, column] < cells * blocks * blocks)]
        part = np.s_[row * per : (row + 1) * per, column * per : (column + 1) * per]
        height, width = offsets[part].shape
        offsets[part], counts[part] = places[:height, :width, 0], places[:height, :width, 1]
    _write_pointing(path, side_px, b"".join(body), offsets, counts)


def _write_pointing(
    path: Path, side_px: int, body: bytes, offsets: NDArray[np.uint64], counts: NDArray[np.uint64]
) -> None:
    """A BigTIFF written by hand: ``body`` from byte 16 on, then where each tile lies in it, then one directory."""
    body += bytes(max(0, 3 * side_px**2 // LARGEST_RATIO - len(body)))
    tables = 16 + len(body)
    centimetre = int.from_bytes(struct.pack("<II", round(1e4 / UM_PER_PX), 1), "little")
    eight_bits = int.from_bytes(struct.pack("<3H", 8, 8, 8), "little")
    tags = [
        (256, 4, 1, side_px), (257, 4, 1, side_px), (258, 3, 3, eight_bits), (259, 3, 1, 7), (262, 3, 1, 6),
        (277, 3, 1, 3), (282, 5, 1, centimetre), (283, 5, 1, centimetre), (296, 3, 1, 3), (322, 4, 1, TILE_PX),
        (323, 4, 1, TILE_PX), (324, 16, offsets.size, tables), (325, 16, counts.size, tables + offsets.nbytes),
    ]  # fmt: skip
    directory = struct.pack("<Q", len(tags)) + b"".join(struct.pack("<HHQQ", *tag) for tag in tags) + bytes(8)
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, tables + 2 * offsets.nbytes)
    path.write_bytes(head + body + offsets.tobytes() + counts.tobytes() + directory)
