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
_BAND_BYTES = 4 << 20
"""Source pixels held at one time: what was read is then still in the cache when it is averaged."""
_CACHED_ROWS = 32


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
        height = min(band, rect.height - top)
        if step == 1.0 and box == 2:
            twice = Rect(2 * rect.x, 2 * (rect.y + top), 2 * rect.width, 2 * height)
            halve(read(twice), out[top : top + height])
            continue
        rows = _Taps.of(rect.y + top, height, step)
        source = Rect(columns.first * box, rows.first * box, columns.count * box, rows.count * box)
        pixels = read(source)
        for start in range(0, height, _CACHED_ROWS):
            few = _Taps.of(rect.y + top + start, min(_CACHED_ROWS, height - start), step)
            skipped = (few.first - rows.first) * box
            boxes = _box_average(pixels[skipped : skipped + few.count * box], box)
            if step != 1.0:
                boxes = columns.blend(few.blend(boxes, axis=0), axis=1)
            place = out[top + start : top + start + few.length]
            np.rint(boxes[: few.length, : rect.width], out=place, casting="unsafe")
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


def halve(pixels: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Write the means of 2 x 2 ``pixels`` (2h, 2w, 3), half to even, into ``out`` (h, w, 3).

    What the float32 path gives, in whole numbers and a quarter of its time; a few rows at a time stay in the cache.
    """
    height, width = out.shape[:2]
    for top in range(0, height, _CACHED_ROWS):
        part = pixels[2 * top : 2 * (top + _CACHED_ROWS)]
        pairs = np.add(part[0::2], part[1::2], dtype=np.uint16).reshape(len(part) // 2, width, 6)
        sums = np.empty((len(pairs), width, 3), np.uint16)
        for channel in range(3):
            np.add(pairs[..., channel], pairs[..., channel + 3], out=sums[..., channel])
        # Half to even: 4q + 2 stays q where q is even, so the last bit of the quotient decides.
        sums += 1 + ((sums >> 2) & 1)
        out[top : top + _CACHED_ROWS] = sums >> 2


def _snapped(ratio: float) -> float:
    whole = round(ratio)
    return float(whole) if whole >= 1 and abs(ratio - whole) < _WHOLE_TOLERANCE * whole else ratio
