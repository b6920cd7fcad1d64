"""Resampling to a scale so that a pixel is the same whatever region it is asked with.

A box average over whole source pixels, anchored at the slide's corner, takes the whole-numbered part of the
ratio; bilinear interpolation takes what remains. Weights come from global indices in float64, and every
operation works pixel by pixel, so the extent of a request cannot change a bit of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from marrow_models.records import Rect

_WHOLE_TOLERANCE = 1e-6
"""0.3 / 0.1 is 2.9999999999999996: such a ratio is meant to be whole."""
_BAND_BYTES = 32 << 20
"""Source pixels held at one time."""


def resampled(read: Callable[[Rect], NDArray[np.uint8]], ratio: float, rect: Rect) -> NDArray[np.uint8]:
    """Return pixels of ``rect`` on a lattice whose pixels are ``ratio`` source pixels wide, shape (height, width, 3).

    ``read`` gives source pixels of any rectangle, also outside of the source.
    """
    if rect.width <= 0 or rect.height <= 0:
        return np.empty((max(0, rect.height), max(0, rect.width), 3), np.uint8)
    ratio = _snapped(ratio)
    if ratio == 1.0:  # each pixel is its own average
        return read(rect)
    box = max(1, math.floor(ratio))
    step = ratio / box
    columns = _Taps.of(rect.x, rect.width, step)
    out = np.empty((rect.height, rect.width, 3), np.uint8)
    band = max(1, int(_BAND_BYTES // max(1.0, 3 * ratio * ratio * rect.width)))
    for top in range(0, rect.height, band):
        rows = _Taps.of(rect.y + top, min(band, rect.height - top), step)
        source = Rect(columns.first * box, rows.first * box, columns.count * box, rows.count * box)
        boxes = _box_average(read(source), box)
        if step != 1.0:
            boxes = columns.blend(rows.blend(boxes, axis=0), axis=1)
        out[top : top + rows.length] = np.rint(boxes[: rows.length, : rect.width]).astype(np.uint8)
    return out


class _Taps:
    """The two neighbours of each output pixel along one axis, and the weight of the second."""

    def __init__(self, first: int, count: int, index: NDArray[np.int64], weight: NDArray[np.float32]) -> None:
        self.first, self.count, self.length = first, count, len(index)
        self._index, self._weight = index, weight

    @classmethod
    def of(cls, start: int, length: int, step: float) -> _Taps:
        centre = (np.arange(start, start + length, dtype=np.float64) + 0.5) * step - 0.5
        if step == 1.0:
            centre = np.rint(centre)
        low = np.floor(centre).astype(np.int64)
        weight = (centre - low).astype(np.float32)
        first = int(low[0])
        return cls(first, int(low[-1]) + 2 - first, low - first, weight)

    def blend(self, values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
        low, high = values.take(self._index, axis), values.take(self._index + 1, axis)
        weight = self._weight.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        return np.asarray(low + (high - low) * weight, np.float32)


def _box_average(pixels: NDArray[np.uint8], box: int) -> NDArray[np.float32]:
    """Means of ``box`` x ``box`` pixels; sums are whole numbers, so no order of adding matters."""
    if box == 1:
        return pixels.astype(np.float32)
    total = np.uint16 if box * box * 255 <= np.iinfo(np.uint16).max else np.uint32
    rows = np.zeros((pixels.shape[0] // box, *pixels.shape[1:]), total)
    for offset in range(box):
        rows += pixels[offset::box]
    sums = np.zeros((rows.shape[0], rows.shape[1] // box, rows.shape[2]), total)
    for offset in range(box):
        sums += rows[:, offset::box]
    return sums.astype(np.float32) / np.float32(box * box)


def _snapped(ratio: float) -> float:
    whole = round(ratio)
    return float(whole) if whole >= 1 and abs(ratio - whole) < _WHOLE_TOLERANCE * whole else ratio
