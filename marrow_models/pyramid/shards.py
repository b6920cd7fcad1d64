"""Zarr v3 ``sharding_indexed`` files: chunks one behind the other, then an index of offsets with its CRC-32C."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from marrow_models.errors import MarrowError
from marrow_models.pyramid.layout import LevelLayout

ABSENT = 2**64 - 1
"""Offset and length of a chunk that is not there."""
_CRC_BYTES = 4


class ShardCorrupt(MarrowError):
    """A shard's index does not match its checksum, or points outside the file."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the manifest says of one file of a store."""

    bytes: int
    chunks: int
    sha256: str


def shard_key(level: int, row: int, column: int) -> str:
    """Path of a shard in its store."""
    return f"{level}/c/0/{row}/{column}"


def index_bytes(tiles: int) -> int:
    """Length of the index of a shard of ``tiles`` x ``tiles`` chunks, bytes."""
    return tiles * tiles * 16 + _CRC_BYTES


def parse_index(raw: bytes, tiles: int) -> NDArray[np.uint64]:
    """Read an index, shape (tiles, tiles, 2): offset and length of each chunk.

    Raises
    ------
    ShardCorrupt
        Its checksum is wrong.
    """
    body, crc = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    if len(raw) != index_bytes(tiles) or google_crc32c.value(body) != int.from_bytes(crc, "little"):
        raise ShardCorrupt("the index of a shard does not match its checksum")
    return np.frombuffer(body, "<u8").reshape(tiles, tiles, 2)


class _Shard:
    """One shard being written; its file appears with the first chunk."""

    def __init__(self, path: Path, tiles: int, expected: int) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._index = np.full((tiles, tiles, 2), ABSENT, "<u8")
        self._chunks = 0
        self.expected = expected

    def put(self, row: int, column: int, data: bytes | None) -> None:
        self.expected -= 1
        if data is None:
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("xb")
        self._index[row, column] = self._bytes, len(data)
        self._chunks += 1
        self._append(self._file, data)

    def finish(self) -> FileRecord | None:
        if self._file is None:
            return None
        body = self._index.tobytes()
        try:
            self._append(self._file, body + google_crc32c.value(body).to_bytes(_CRC_BYTES, "little"))
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self.close()
        return FileRecord(self._bytes, self._chunks, self._digest.hexdigest())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _append(self, file: BinaryIO, data: bytes) -> None:
        file.write(data)
        self._digest.update(data)
        self._bytes += len(data)


class LevelWriter:
    """Writes the chunks of one level in any order; each shard is finished as soon as all of its tiles were told.

    A context: leaving it releases what is open, and raises MarrowError if some tile was never told.
    Memory is an index for each shard that is open: one if tiles come shard by shard.
    """

    def __init__(self, store: Path, number: int, layout: LevelLayout) -> None:
        self._store, self._number, self._layout = store, number, layout
        self._tiles = layout.shard_tiles
        self._open: dict[tuple[int, int], _Shard] = {}
        self._left = layout.rows * layout.columns
        self.records: dict[str, FileRecord] = {}

    def put(self, row: int, column: int, data: bytes | None) -> None:
        """Write the encoded chunk of a tile; None leaves it out, so that it reads as white. Once for every tile."""
        tiles = self._tiles
        place = row // tiles, column // tiles
        shard = self._open.get(place)
        if shard is None:
            key = shard_key(self._number, *place)
            shard = self._open[place] = _Shard(self._store / key, tiles, self._expected(*place))
        shard.put(row % tiles, column % tiles, data)
        self._left -= 1
        if shard.expected == 0:
            record = self._open.pop(place).finish()
            if record is not None:
                self.records[shard_key(self._number, *place)] = record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        for shard in self._open.values():
            with suppress(OSError):  # on a full disk what is buffered cannot be written; the level is lost already
                shard.close()
        if kind is None and self._left:
            raise MarrowError(f"level {self._number}: {self._left} tiles were not written")

    def _expected(self, row: int, column: int) -> int:
        tiles = self._tiles
        rows = min(tiles, self._layout.rows - row * tiles)
        columns = min(tiles, self._layout.columns - column * tiles)
        return rows * columns
