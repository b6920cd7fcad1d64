"""Writing the levels of a store: tiles of the source copied or re-coded, missing levels averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrow_models.errors import Reason, SlideRefused
from marrow_models.pyramid.chunks import LevelReader
from marrow_models.pyramid.codec import JPEG_CODEC, zstd_encode
from marrow_models.pyramid.layout import FILL, LevelLayout
from marrow_models.pyramid.missing import PRESENT, UNDECODABLE, UNSCANNED, new_grid
from marrow_models.pyramid.plan import LevelPlan
from marrow_models.pyramid.shards import FileRecord, LevelWriter
from marrow_models.slides import jpeg
from marrow_models.slides.reader import SlideReader, TileSizeMismatch, TileUnreadable


@dataclass(slots=True)
class Damage:
    """Tiles that did not decode, against what is allowed for the slide as a whole."""

    total: int
    """Tiles of all levels of the source."""
    allowed: float
    """Fraction of them that may be lost."""
    lost: int = 0
    mismatched: int = 0
    """Of the lost ones, those whose own header claims another size than the slide gives them."""
    decoded: int = 0

    def add(self, why: TileUnreadable) -> None:
        """Count one lost tile.

        Raises
        ------
        SlideRefused
            As soon as no later tile could make it good: TILE_SIZE_MISMATCH where most of the lost tiles are of a
            size of their own, which is no accident of a disk, else TILE_ERRORS.
        """
        self.lost += 1
        self.mismatched += isinstance(why, TileSizeMismatch)
        if self.lost > self.allowed * self.total:
            raise self._refusal(f"at least {self.lost} of {self.total} tiles do not decode")

    def check(self) -> None:
        """Refuse a slide of which nothing is left.

        Raises
        ------
        SlideRefused
            TILE_ERRORS or TILE_SIZE_MISMATCH.
        """
        if self.decoded == 0:
            raise self._refusal("no tile holds any pixel")

    def _refusal(self, detail: str) -> SlideRefused:
        systematic = 2 * self.mismatched > self.lost
        return SlideRefused(Reason.TILE_SIZE_MISMATCH if systematic else Reason.TILE_ERRORS, detail)


@dataclass(slots=True)
class WrittenLevel:
    """What came of one level."""

    layout: LevelLayout
    grid: NDArray[np.uint8]
    """State of every tile, shape (rows, columns); see :mod:`marrow_models.pyramid.missing`."""
    records: dict[str, FileRecord] = field(default_factory=dict)


def write_source_level(reader: SlideReader, plan: LevelPlan, store: Path, number: int, damage: Damage) -> WrittenLevel:
    """Write a level of the source tile by tile, in rows; each copied tile is decoded once to prove that it can be.

    Raises
    ------
    SlideRefused
        TILE_ERRORS or TILE_SIZE_MISMATCH where too many tiles do not decode.
    """
    layout = plan.layout
    written = WrittenLevel(layout, new_grid(layout))
    fetch, source = (_copied if plan.copied else _recoded), plan.source or 0
    with LevelWriter(store, number, layout) as writer:
        for row, column in np.ndindex(layout.rows, layout.columns):
            data, state = None, UNDECODABLE
            try:
                data, state = fetch(reader, source, layout, row, column)
            except TileUnreadable as why:
                damage.add(why)
            damage.decoded += state == PRESENT
            written.grid[row, column] = state
            writer.put(row, column, data)
    written.records = writer.records
    return written


def write_made_levels(source: LevelLayout, made: Sequence[LevelLayout], store: Path, number: int) -> list[WrittenLevel]:
    """Make the levels below ``source`` (level ``number`` of the store) by averaging 2 x 2 pixels again and again.

    The tree of tiles is walked depth first, so that each source tile is decoded once, averages are taken of
    averages and not of re-coded JPEG, and memory is four tiles a level.
    """
    with ExitStack() as stack:
        writers = [LevelWriter(store, number + 1 + step, layout) for step, layout in enumerate(made)]
        for writer in writers:
            stack.enter_context(writer)
        tree = _Tree(LevelReader(store, number, source), [source, *made], writers)
        for row, column in _by_shards(made[-1]):
            tree.tile(len(made), row, column)
    return [
        WrittenLevel(layout, new_grid(layout), writer.records) for layout, writer in zip(made, writers, strict=True)
    ]


def _by_shards(layout: LevelLayout) -> Iterator[tuple[int, int]]:
    """Yield (row, column) of all tiles, shard after shard."""
    tiles = layout.shard_tiles
    for top, left in np.ndindex(-(-layout.rows // tiles), -(-layout.columns // tiles)):
        for row in range(top * tiles, min((top + 1) * tiles, layout.rows)):
            for column in range(left * tiles, min((left + 1) * tiles, layout.columns)):
                yield row, column


class _Tree:
    """Tiles of made levels over the tiles of the level they come from (step 0)."""

    def __init__(self, reader: LevelReader, layouts: list[LevelLayout], writers: list[LevelWriter]) -> None:
        self._reader, self._layouts, self._writers = reader, layouts, writers

    def tile(self, step: int, row: int, column: int) -> NDArray[np.uint8] | None:
        """Pixels of a tile, clipped to its level, written if it is a made one; None where nothing is known of it."""
        layout = self._layouts[step]
        if row >= layout.rows or column >= layout.columns:
            return None
        rect = layout.tile_rect(row, column)
        if step == 0:
            pixels = self._reader.tile(row, column)
            return None if pixels is None else pixels[: rect.height, : rect.width]
        quarters = [[self.tile(step - 1, 2 * row + i, 2 * column + j) for j in (0, 1)] for i in (0, 1)]
        if all(quarter is None for line in quarters for quarter in line):
            self._writers[step - 1].put(row, column, None)
            return None
        pixels = halved(self._joined(quarters, step - 1, row, column))
        self._writers[step - 1].put(row, column, encoded(pixels, layout))
        return pixels

    def _joined(
        self, quarters: list[list[NDArray[np.uint8] | None]], step: int, row: int, column: int
    ) -> NDArray[np.uint8]:
        above, below = self._layouts[step], self._layouts[step + 1]
        rect = below.tile_rect(row, column)
        x, y = 2 * rect.x, 2 * rect.y
        width, height = min(2 * rect.width, above.width_px - x), min(2 * rect.height, above.height_px - y)
        out = np.full((height, width, 3), FILL, np.uint8)
        for i, line in enumerate(quarters):
            for j, quarter in enumerate(line):
                if quarter is not None:
                    top, left = i * above.tile_height_px, j * above.tile_width_px
                    out[top : top + quarter.shape[0], left : left + quarter.shape[1]] = quarter
        return out


def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average squares of 2 x 2 pixels, rounding half up; an odd last row or column stands for both of its square."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rows = pixels[0::2].astype(np.uint16) + pixels[1::2]
    return ((rows[:, 0::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


def encoded(pixels: NDArray[np.uint8], layout: LevelLayout) -> bytes | None:
    """Encode the pixels of a tile as ``layout`` says, filled up to a whole tile; None where all are white.

    The filling repeats the edge in JPEG, whose blocks would else bleed it into the picture.
    """
    if (pixels == FILL).all():
        return None
    height, width = pixels.shape[:2]
    rest = ((0, layout.tile_height_px - height), (0, layout.tile_width_px - width), (0, 0))
    if layout.codec == JPEG_CODEC:
        return jpeg.encode(np.pad(pixels, rest, mode="edge"))
    return zstd_encode(np.pad(pixels, rest, constant_values=FILL))


def _copied(reader: SlideReader, source: int, layout: LevelLayout, row: int, column: int) -> tuple[bytes | None, int]:
    stream = reader.encoded_tile(source, column, row)
    if stream is None:
        return None, UNSCANNED
    jpeg.decode(stream, layout.colour, layout.tile_width_px, layout.tile_height_px)
    return stream, PRESENT


def _recoded(reader: SlideReader, source: int, layout: LevelLayout, row: int, column: int) -> tuple[bytes | None, int]:
    rect = layout.tile_rect(row, column)
    if not reader.is_scanned(source, rect):
        return None, UNSCANNED
    return encoded(reader.region(source, rect), layout), PRESENT
