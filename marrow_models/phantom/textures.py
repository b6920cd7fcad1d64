"""Noise fields that are made once per process and cut at random places: texture at the price of a slice."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TILE_PX = 512
# Scales are rounded to powers of this ratio, so that few tiles are ever made.
_STEP = 1.12
_FINEST_PX = 0.3


@lru_cache(maxsize=96)
def _tile(step: int) -> NDArray[np.float32]:
    """Smoothed white noise with period 512 px, zero mean and unit variance."""
    white = np.random.default_rng(90_001 + step).standard_normal((_TILE_PX, _TILE_PX), dtype=np.float32)
    smooth = gaussian_filter(white, _STEP**step, mode="wrap", truncate=3.0)
    smooth -= smooth.mean()
    smooth /= smooth.std()
    smooth.setflags(write=False)
    return np.asarray(smooth, dtype=np.float32)


@cache
def _speckle_tile() -> NDArray[np.float32]:
    """Return the finest noise, two periods a side, each value thrice in a row: a pixel's red, green and blue."""
    tile = np.repeat(np.tile(_tile(round(math.log(0.6) / math.log(_STEP))), (2, 2)), 3, axis=1)
    tile.setflags(write=False)
    return tile


def noise(rng: np.random.Generator, shape_px: tuple[int, int], scale_px: float) -> NDArray[np.float32]:
    """Cut a random window (height, width) of noise: zero mean, unit variance, blobs about 2 scale_px wide.

    The result may be a view of a shared array: do not write to it.
    """
    height_px, width_px = shape_px
    tile = _tile(round(math.log(max(scale_px, _FINEST_PX)) / math.log(_STEP)))
    if height_px <= _TILE_PX and width_px <= _TILE_PX:
        row = int(rng.random() * (_TILE_PX - height_px + 1))
        column = int(rng.random() * (_TILE_PX - width_px + 1))
        return tile[row : row + height_px, column : column + width_px]
    rows = (int(rng.random() * _TILE_PX) + np.arange(height_px)) % _TILE_PX
    columns = (int(rng.random() * _TILE_PX) + np.arange(width_px)) % _TILE_PX
    return np.asarray(tile[np.ix_(rows, columns)], dtype=np.float32)


def speckle(rng: np.random.Generator, height_px: int, width_px: int) -> NDArray[np.float32]:
    """Grey camera noise for interleaved RGB, shape (height_px, 3 * width_px), unit variance; do not write to it.

    ``height_px`` is at most 512.
    """
    row, column = int(rng.random() * _TILE_PX), int(rng.random() * _TILE_PX)
    window = _speckle_tile()[row : row + height_px, 3 * column : 3 * (column + min(width_px, _TILE_PX))]
    if width_px <= _TILE_PX:
        return window
    return np.tile(window, (1, -(-width_px // _TILE_PX)))[:, : 3 * width_px]
