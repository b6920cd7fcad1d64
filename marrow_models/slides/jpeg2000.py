"""JPEG 2000 code streams of single tiles: their claimed size is checked before a decoder believes it."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from marrow_models.slides.reader import TileSizeMismatch, TileUnreadable

_SIZE_MARKER = b"\xff\x4f\xff\x51"
_SEARCHED_BYTES = 1024
"""The boxes of a JP2 file that may precede the code stream are shorter."""


def check_size(stream: bytes, width_px: int, height_px: int) -> None:
    """Refuse a code stream that does not claim ``width_px`` x ``height_px``.

    Raises
    ------
    TileUnreadable
        TileSizeMismatch where it claims another size.
    """
    start = stream.find(_SIZE_MARKER, 0, _SEARCHED_BYTES)
    if start < 0 or len(stream) < start + 24:
        raise TileUnreadable("not a JPEG 2000 stream")
    right, bottom, left, top = struct.unpack_from(">4I", stream, start + 8)
    if (right - left, bottom - top) != (width_px, height_px):
        raise TileSizeMismatch(f"JPEG 2000 of {right - left} x {bottom - top} px in a tile of {width_px} x {height_px}")


def decode(stream: bytes, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Decode to RGB, shape (height, width, 3).

    Raises
    ------
    TileUnreadable
        It is damaged or of another size or kind.
    """
    check_size(stream, width_px, height_px)
    try:
        pixels = imagecodecs.jpeg2k_decode(stream)
    except (RuntimeError, ValueError) as error:
        raise TileUnreadable(f"JPEG 2000: {type(error).__name__}") from None
    if pixels.shape != (height_px, width_px, 3) or pixels.dtype != np.uint8:
        raise TileUnreadable(f"JPEG 2000 decodes to {pixels.shape} {pixels.dtype}")
    return np.asarray(pixels, dtype=np.uint8)
