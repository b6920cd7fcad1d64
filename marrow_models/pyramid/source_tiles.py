"""Tiles of a level of the source: what the store gets of each, and its pixels for the levels below."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from marrow_models.pyramid.chunks import LevelReader
from marrow_models.pyramid.made import encoded
from marrow_models.pyramid.missing import PRESENT, UNDECODABLE, UNSCANNED
from marrow_models.pyramid.plan import LevelPlan
from marrow_models.slides.jpeg_streams import ProvenStreams
from marrow_models.slides.reader import SlideReader, TileUnreadable


class SourceTile(NamedTuple):
    """One tile of a level of the source."""

    row: int
    column: int
    state: int
    """See :mod:`marrow_models.pyramid.missing`."""
    data: bytes | None = None
    """The chunk; None where the store gets none."""
    pixels: NDArray[np.uint8] | None = None
    """Clipped to the level; None where nothing is known, or nobody asked."""
    lost: TileUnreadable | None = None
    """Why it is UNDECODABLE."""


Fetch = Callable[[int, int], SourceTile]
"""Gets the tile at (row, column). Safe across threads."""


def source_tiles(reader: SlideReader, plan: LevelPlan, *, pixels: bool) -> Fetch:
    """How the tiles of a planned level of the source are got, with their ``pixels`` or without.

    A copied tile is proven to decode in either case.
    """
    take = (_with_pixels if pixels else _proven)(reader, plan) if plan.copied else _recoded(reader, plan)

    def fetch(row: int, column: int) -> SourceTile:
        try:
            return take(row, column)
        except TileUnreadable as why:
            return SourceTile(row, column, UNDECODABLE, lost=why)

    return fetch


def stored_tiles(reader: LevelReader) -> Fetch:
    """How the pixels of a level that is in the store already are got again."""

    def fetch(row: int, column: int) -> SourceTile:
        pixels, rect = reader.tile(row, column), reader.layout.tile_rect(row, column)
        return SourceTile(row, column, PRESENT, pixels=None if pixels is None else pixels[: rect.height, : rect.width])

    return fetch


def _proven(reader: SlideReader, plan: LevelPlan) -> Fetch:
    layout, source = plan.layout, plan.source or 0
    check = ProvenStreams(layout.colour, layout.tile_width_px, layout.tile_height_px).check

    def take(row: int, column: int) -> SourceTile:
        stream = reader.encoded_tile(source, column, row)
        if stream is None:
            return SourceTile(row, column, UNSCANNED)
        check(stream)
        return SourceTile(row, column, PRESENT, stream)

    return take


def _with_pixels(reader: SlideReader, plan: LevelPlan) -> Fetch:
    layout, source = plan.layout, plan.source or 0
    decode = ProvenStreams(layout.colour, layout.tile_width_px, layout.tile_height_px).decode

    def take(row: int, column: int) -> SourceTile:
        stream = reader.encoded_tile(source, column, row)
        if stream is None:
            return SourceTile(row, column, UNSCANNED)
        rect = layout.tile_rect(row, column)
        return SourceTile(row, column, PRESENT, stream, decode(stream)[: rect.height, : rect.width])

    return take


def _recoded(reader: SlideReader, plan: LevelPlan) -> Fetch:
    layout, source = plan.layout, plan.source or 0
    lock = Lock()

    def take(row: int, column: int) -> SourceTile:
        rect = layout.tile_rect(row, column)
        with lock:  # OpenSlide's handle is replaced after an error; to encode costs more than to decode anyway
            if not reader.is_scanned(source, rect):
                return SourceTile(row, column, UNSCANNED)
            pixels = reader.region(source, rect)
        return SourceTile(row, column, PRESENT, encoded(pixels, layout), pixels)

    return take
