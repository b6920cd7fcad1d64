"""What light, lens and camera do to a picture: blur, thickness, uneven light, noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from marrow_models.phantom.regions import Region
from marrow_models.phantom.textures import noise, speckle

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STRIP_PX = 128
_THICK = np.array([0.30, 0.20, 0.50], np.float32)
_EDGE_UM = 5.0
# Points a side at which the illumination is given.
_KNOTS = 12


def enlarged(coarse: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Bilinear enlargement of a coarse map, corners on corners; keeps trailing axes."""
    rows = np.linspace(0, coarse.shape[0] - 1, height, dtype=np.float32)
    columns = np.linspace(0, coarse.shape[1] - 1, width, dtype=np.float32)
    return _lerp(_lerp(coarse, rows, 0), columns, 1)


def _lerp(values: NDArray[np.float32], at: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    low = np.minimum(at.astype(np.intp), values.shape[axis] - 2)
    weight = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    below, above = values.take(low, axis), values.take(low + 1, axis)
    above -= below
    above *= weight
    above += below
    return np.asarray(above, dtype=np.float32)


def blur(picture: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Gaussian blur of (h, w, 3); strong blur is done on a reduced picture, which cannot be told apart."""
    factor = max(1, int(sigma_px / 1.6))
    height, width = picture.shape[:2]
    if factor == 1 or min(height, width) < 4 * factor:
        return _gaussian(picture, sigma_px)
    padded = np.pad(picture, ((0, -height % factor), (0, -width % factor), (0, 0)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor, 3)
    small = _gaussian(blocks.mean(axis=(1, 3), dtype=np.float32), sigma_px / factor)
    rows, columns = _block_positions(height, factor), _block_positions(width, factor)
    return _lerp(_lerp(small, rows, 0), columns, 1)


def _block_positions(size: int, factor: int) -> NDArray[np.float32]:
    """Where the middles of pixels lie among the middles of blocks of ``factor`` pixels."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / factor - 0.5
    return np.asarray(np.clip(at, 0, -(-size // factor) - 1), dtype=np.float32)


def _gaussian(picture: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    smooth = gaussian_filter1d(picture, sigma_px, axis=0, truncate=2.5)
    return np.asarray(gaussian_filter1d(smooth, sigma_px, axis=1, truncate=2.5), np.float32)


def spoil(
    rng: np.random.Generator,
    canvas: NDArray[np.uint8],
    region: Region,
    um_per_px: float,
    *,
    blur_um: float,
    thick: bool,
) -> None:
    """Put a region of the canvas out of focus and, when ``thick``, under layers of cells."""
    left, top, right, bottom = (v / um_per_px for v in region.bounds_um(_EDGE_UM + 3 * blur_um))
    x0, y0 = max(0, int(left)), max(0, int(top))
    window = canvas[y0 : max(0, int(bottom) + 1), x0 : max(0, int(right) + 1)]
    if min(window.shape[:2]) < 8:
        return
    height, width = window.shape[:2]
    step = 8  # the mask is smooth: computed on a coarse grid
    rows = np.linspace(0, height - 1, max(2, height // step), dtype=np.float32)
    columns = np.linspace(0, width - 1, max(2, width // step), dtype=np.float32)
    distance = region.distance_um(
        (columns[None] + x0) * np.float32(um_per_px), (rows[:, None] + y0) * np.float32(um_per_px)
    )
    coarse = np.clip(0.5 - distance / np.float32(_EDGE_UM), 0, 1).astype(np.float32)
    mask = _threefold(enlarged(coarse, height, width))
    clear = window.astype(np.float32)
    spoilt = blur(clear, blur_um / um_per_px)
    if thick:
        layers = noise(rng, (coarse.shape[0], coarse.shape[1]), 5.0 / um_per_px / step)
        depth = enlarged(np.clip(0.75 + 0.22 * layers, 0.3, 1.25).astype(np.float32), height, width)
        spoilt *= np.float32(1) - _threefold(depth) * (1 - _THICK)
    spoilt -= clear
    spoilt *= mask
    clear += spoilt
    np.maximum(clear, 0, out=clear)
    window[...] = np.minimum(clear, 255, out=clear)


def _threefold(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Repeat a plane (h, w) for each channel, (h, w, 3): contiguous, which makes arithmetic with pictures fast."""
    return np.repeat(plane, 3, axis=1).reshape(*plane.shape, 3)


def expose(
    rng: np.random.Generator, canvas: NDArray[np.uint8], *, unevenness: float = 0.03, grain: float = 1.6
) -> None:
    """Uneven illumination and the camera's noise, in place."""
    height, width = canvas.shape[:2]
    coarse = noise(rng, (_KNOTS, _KNOTS), 4.0) * np.float32(0.4 * unevenness) + 1
    slope = rng.normal(0, unevenness / 2, 2).astype(np.float32)
    ramp = np.linspace(-0.5, 0.5, _KNOTS, dtype=np.float32)
    coarse = np.asarray(coarse + slope[0] * ramp[:, None] + slope[1] * ramp[None], np.float32)
    rows = np.linspace(0, _KNOTS - 1, height, dtype=np.float32)
    columns = np.linspace(0, _KNOTS - 1, width, dtype=np.float32)
    across = np.repeat(_lerp(coarse, columns, 1), 3, axis=1)
    samples = canvas.reshape(height, 3 * width)
    for top in range(0, height, _STRIP_PX):
        strip = samples[top : top + _STRIP_PX]
        picture = _lerp(across, rows[top : top + _STRIP_PX], 0)
        picture *= strip
        picture += np.float32(grain) * speckle(rng, strip.shape[0], width)
        picture += np.float32(0.5)
        np.maximum(picture, 0, out=picture)
        strip[...] = np.minimum(picture, 255, out=picture)
