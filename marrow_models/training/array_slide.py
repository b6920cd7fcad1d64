"""A slide in memory: what training fields and labelled pictures are evaluated as."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marrow_models.pyramid.scale import resampled
from marrow_models.records import LevelInfo, MissingArea, Rect, SlideInfo, edges_of

GLASS = 255


class ArraySlide:
    """RGB pixels (height, width, 3) that can be asked for regions at any scale, as a stored slide can."""

    def __init__(self, pixels: NDArray[np.uint8], um_per_px: float, *, missing: tuple[MissingArea, ...] = ()) -> None:
        height, width, _ = pixels.shape
        self.um_per_px = um_per_px
        self.info = SlideInfo("array", width, height, um_per_px, (LevelInfo(width, height, 1.0),))
        self.missing = missing
        self.missing_px: NDArray[np.int64] = edges_of(missing)
        self._pixels = pixels

    def scaled_region(self, um_per_px: float, rect: Rect, *, from_level: int = 0) -> NDArray[np.uint8]:
        """As :meth:`marrow_models.pyramid.store.Pyramid.scaled_region`; there is one level."""
        if from_level:
            raise IndexError(f"a slide in memory has no level {from_level}")
        return resampled(self._region, um_per_px / self.um_per_px, rect)

    def value_range(self, um_per_px: float, rect: Rect, *, from_level: int = 0, upper: bool = True) -> tuple[int, int]:
        """Smallest and largest value of :meth:`scaled_region`."""
        pixels = self.scaled_region(um_per_px, rect, from_level=from_level)
        return int(pixels.min()), int(pixels.max())

    def level_for(self, um_per_px: float) -> int:
        """Return 0, the only level."""
        return 0

    def _region(self, rect: Rect) -> NDArray[np.uint8]:
        out = np.full((rect.height, rect.width, 3), GLASS, np.uint8)
        top, left = max(0, rect.y), max(0, rect.x)
        known = self._pixels[top : max(top, rect.bottom), left : max(left, rect.right)]
        out[top - rect.y : top - rect.y + known.shape[0], left - rect.x : left - rect.x + known.shape[1]] = known
        return out
