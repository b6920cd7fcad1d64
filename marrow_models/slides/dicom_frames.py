"""Where the frames of a DICOM instance lie in its file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides.files import read_at, size_of
from marrow_models.slides.reader import TileUnreadable

_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_HEADER = 8
_MAX_FRAME_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Where each of N frames begins in its file."""

    offsets: NDArray[np.uint64]
    """Shape (N,), bytes."""
    fixed_bytes: int | None
    """Length of every frame where they are not encapsulated."""

    def outside(self, file_bytes: int) -> int:
        """How many frames do not begin (or, of fixed length, end) within the file."""
        ends = self.offsets + np.uint64(self.fixed_bytes or _HEADER)
        return int(np.count_nonzero((ends > file_bytes) | (ends < self.offsets)))

    def read(self, file: BinaryIO, index: int) -> bytes:
        """Read the compressed or raw bytes of one frame.

        Raises
        ------
        TileUnreadable
            It lies behind the end of the file, or is no item.
        """
        offset = int(self.offsets[index])
        if self.fixed_bytes is not None:
            data = read_at(file, offset, self.fixed_bytes)
            if len(data) < self.fixed_bytes:
                raise TileUnreadable("behind the end of the file")
            return data
        end = int(self.offsets[index + 1]) if index + 1 < len(self.offsets) else None
        parts: list[bytes] = []
        while end is None or offset < end:
            head = read_at(file, offset, _HEADER)
            if head[:4] == _SEQUENCE_END and parts:
                break
            if head[:4] != _ITEM or len(head) < _HEADER:
                raise TileUnreadable("no item where a frame should begin")
            length = int.from_bytes(head[4:], "little")
            data = read_at(file, offset + _HEADER, length) if length <= _MAX_FRAME_BYTES else b""
            if len(data) < length:
                raise TileUnreadable("behind the end of the file")
            parts.append(data)
            offset += _HEADER + length
        return parts[0] if len(parts) == 1 else b"".join(parts)


def native_frames(first: int, count: int, frame_bytes: int) -> FrameTable:
    """Frames that lie one behind the other, uncompressed."""
    return FrameTable(np.uint64(first) + np.arange(count, dtype=np.uint64) * np.uint64(frame_bytes), frame_bytes)


def encapsulated_frames(file: BinaryIO, first: int, count: int, extended: bytes | None) -> FrameTable:
    """Frames in items, the first of which (at ``first``) is the basic offset table.

    ``extended`` is the value of Extended Offset Table, if the instance has one. Without either table the
    items are counted through, which must then be one for each frame.

    Raises
    ------
    SlideRefused
        CORRUPT_HEADER or TRUNCATED.
    """
    head = read_at(file, first, _HEADER)
    if head[:4] != _ITEM:
        raise SlideRefused(Reason.CORRUPT_HEADER, "no offset table before the frames")
    length = int.from_bytes(head[4:], "little")
    base = first + _HEADER + length
    if extended is not None:
        relative = np.frombuffer(extended[: len(extended) // 8 * 8], "<u8")
    elif length:
        relative = np.frombuffer(read_at(file, first + _HEADER, length // 4 * 4), "<u4").astype(np.uint64)
    else:
        return FrameTable(_count_items(file, base, count), None)
    if len(relative) != count:
        raise SlideRefused(Reason.CORRUPT_HEADER, f"{len(relative)} offsets for {count} frames")
    return FrameTable(relative.astype(np.uint64) + np.uint64(base), None)


def _count_items(file: BinaryIO, offset: int, count: int) -> NDArray[np.uint64]:
    size = size_of(file)
    offsets = np.full(count, size, np.uint64)  # frames that are not found lie behind the end
    for index in range(count):
        head = read_at(file, offset, _HEADER)
        if head[:4] == _SEQUENCE_END:
            raise SlideRefused(Reason.CORRUPT_HEADER, f"{index} items for {count} frames")
        if len(head) < _HEADER or head[:4] != _ITEM:
            break
        offsets[index] = offset
        offset += _HEADER + struct.unpack_from("<I", head, 4)[0]
    return offsets
