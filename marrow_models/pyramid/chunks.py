"""Reading tiles of a level straight from its shards: the index once, then only the bytes of the tile."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrow_models.pyramid.codec import chunk_decoder
from marrow_models.pyramid.layout import LevelLayout
from marrow_models.pyramid.shards import ABSENT, ShardCorrupt, index_bytes, parse_index, shard_key
from marrow_models.slides.files import read_descriptor

_Shard = tuple[int, NDArray[np.uint64]]
"""Descriptor and index of an open shard."""


class LevelReader:
    """Decodes single tiles of one level. Holds no open file between calls; safe across threads and processes."""

    def __init__(self, store: Path, number: int, layout: LevelLayout) -> None:
        self.layout = layout
        self._store, self._number = str(store), number
        self._shard_tiles = layout.shard_tiles
        self._decode = chunk_decoder(layout.codec, layout.colour)

    def tile(self, row: int, column: int) -> NDArray[np.uint8] | None:
        """Pixels of a whole tile, shape (tile height, tile width, 3); None where the store has none of it.

        Raises
        ------
        ShardCorrupt
            The index of the shard, or what it points at, is damaged.
        TileUnreadable
            The chunk does not decode.
        """
        return next(self.tiles([(row, column)]))

    def tiles(self, places: Iterable[tuple[int, int]]) -> Iterator[NDArray[np.uint8] | None]:
        """:meth:`tile` of each (row, column); a shard that several lie in is opened once."""
        width, height = self.layout.tile_width_px, self.layout.tile_height_px
        for data in self.chunks(places):
            yield None if data is None else self._decode(data, width, height)

    def chunk(self, row: int, column: int) -> bytes | None:
        """Compressed bytes of a tile; None where the store has none of it."""
        return next(self.chunks([(row, column)]))

    def chunks(self, places: Iterable[tuple[int, int]]) -> Iterator[bytes | None]:
        """:meth:`chunk` of each (row, column)."""
        tiles = self._shard_tiles
        shards: dict[tuple[int, int], _Shard | None] = {}
        try:
            for row, column in places:
                place = row // tiles, column // tiles
                if place not in shards:
                    shards[place] = self._opened(*place)
                shard = shards[place]
                yield None if shard is None else _chunk(shard, row % tiles, column % tiles)
        finally:
            for shard in shards.values():
                if shard is not None:
                    os.close(shard[0])

    def holds_any(self, rows: range, columns: range) -> bool:
        """Whether the store has a chunk of any tile in ``rows`` and ``columns``; none is read."""
        tiles = self._shard_tiles
        if not rows or not columns:
            return False
        for place in itertools.product(
            range(rows.start // tiles, (rows.stop - 1) // tiles + 1),
            range(columns.start // tiles, (columns.stop - 1) // tiles + 1),
        ):
            shard = self._opened(*place)
            if shard is None:
                continue
            os.close(shard[0])
            top, left = place[0] * tiles, place[1] * tiles
            part = shard[1][
                max(0, rows.start - top) : rows.stop - top, max(0, columns.start - left) : columns.stop - left
            ]
            if (part[..., 0] != ABSENT).any():
                return True
        return False

    def _opened(self, row: int, column: int) -> _Shard | None:
        path = f"{self._store}/{shard_key(self._number, row, column)}"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return descriptor, _index(descriptor, path, self._shard_tiles)
        except BaseException:
            os.close(descriptor)
            raise


def _chunk(shard: _Shard, row: int, column: int) -> bytes | None:
    descriptor, index = shard
    offset, length = index[row, column].tolist()
    if offset == ABSENT:
        return None
    data = read_descriptor(descriptor, offset, length)
    if len(data) < length:
        raise ShardCorrupt("a shard is shorter than its index says")
    return data


def _index(descriptor: int, path: str, tiles: int) -> NDArray[np.uint64]:
    """Return the index of an open shard, kept for the life of the process as long as the file is the same."""
    stat = os.fstat(descriptor)
    identity = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    cached = _indices(path, identity)
    if not cached:
        raw = read_descriptor(descriptor, stat.st_size - index_bytes(tiles), index_bytes(tiles))
        cached.append(parse_index(raw, tiles))
    return cached[0]


@lru_cache(maxsize=512)
def _indices(path: str, identity: tuple[int, ...]) -> list[NDArray[np.uint64]]:
    """Return a slot for the index of one version of a shard."""
    return []
