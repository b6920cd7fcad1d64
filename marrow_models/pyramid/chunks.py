"""Reading tiles of a level straight from its shards: the index once, then only the bytes of the tile."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from marrow_models.pyramid.codec import chunk_decoder
from marrow_models.pyramid.layout import LevelLayout
from marrow_models.pyramid.shards import ABSENT, ShardCorrupt, index_bytes, parse_index, shard_key
from marrow_models.slides.files import read_at


class LevelReader:
    """Decodes single tiles of one level. Holds no open file; safe across threads and processes."""

    def __init__(self, store: Path, number: int, layout: LevelLayout) -> None:
        self.layout = layout
        self._store, self._number = store, number
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
        data = self.chunk(row, column)
        return None if data is None else self._decode(data, self.layout.tile_width_px, self.layout.tile_height_px)

    def chunk(self, row: int, column: int) -> bytes | None:
        """Compressed bytes of a tile; None where the store has none of it."""
        tiles = self.layout.shard_tiles
        path = self._store / shard_key(self._number, row // tiles, column // tiles)
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            return None
        with file:
            index = _index(file, path, tiles)
            offset, length = index[row % tiles, column % tiles]
            if offset == ABSENT:
                return None
            data = read_at(file, int(offset), int(length))
        if len(data) < int(length):
            raise ShardCorrupt("a shard is shorter than its index says")
        return data


def _index(file: BinaryIO, path: Path, tiles: int) -> NDArray[np.uint64]:
    """Return the index of an open shard, kept for the life of the process as long as the file is the same."""
    stat = os.fstat(file.fileno())
    identity = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    cached = _indices(path, identity)
    if not cached:
        cached.append(parse_index(read_at(file, stat.st_size - index_bytes(tiles), index_bytes(tiles)), tiles))
    return cached[0]


@lru_cache(maxsize=512)
def _indices(path: Path, identity: tuple[int, ...]) -> list[NDArray[np.uint64]]:
    """Return a slot for the index of one version of a shard."""
    return []
