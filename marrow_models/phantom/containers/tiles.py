"""The pyramid of a slide as JPEG tiles, each encoded once and written into whatever container is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE_PX = 256
QUALITY = 90
SUBSAMPLING = "422"
"""Chroma at half the width: what Aperio scanners write and what DICOM's YBR_FULL_422 means."""
TIFF_SUBSAMPLING = (2, 1)
_DOWNSAMPLES = (1, 4, 16)


@dataclass(frozen=True, slots=True)
class EncodedLevel:
    """One level: complete JPEG streams of 256 x 256 px, row by row; those at the far edges are padded."""

    width_px: int
    height_px: int
    downsample: int
    tiles: tuple[bytes, ...]

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return -(-self.width_px // TILE_PX)

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return -(-self.height_px // TILE_PX)


@dataclass(frozen=True, slots=True)
class EncodedPyramid:
    """A slide's levels, the largest first, and a small picture of the whole, uint8 (h, w, 3)."""

    levels: tuple[EncodedLevel, ...]
    um_per_px: float
    overview: NDArray[np.uint8]


def encode_pyramid(image: NDArray[np.uint8], um_per_px: float) -> EncodedPyramid:
    """Encode levels 1, 4 and 16 of an image (h, w, 3), reduced by averaging areas."""
    levels, reduced = [], image
    for index, downsample in enumerate(_DOWNSAMPLES):
        if index:
            reduced = _reduced(reduced, downsample // _DOWNSAMPLES[index - 1])
        levels.append(_encoded(reduced, downsample))
    return EncodedPyramid(tuple(levels), um_per_px, reduced)


def _reduced(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Means of factor x factor pixels; a remainder at the far edges is dropped, as scanners do."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    rows = image[: height * factor, : width * factor].reshape(height, factor, width * factor * 3)
    sums = rows.sum(axis=1, dtype=np.uint16).reshape(height, width, factor, 3).sum(axis=2, dtype=np.uint16)
    return np.asarray((sums + factor * factor // 2) // (factor * factor), dtype=np.uint8)


def _encoded(image: NDArray[np.uint8], downsample: int) -> EncodedLevel:
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % TILE_PX), (0, -width % TILE_PX), (0, 0)), mode="edge")
    tiles = tuple(
        bytes(
            imagecodecs.jpeg8_encode(
                np.ascontiguousarray(padded[y : y + TILE_PX, x : x + TILE_PX]), level=QUALITY, subsampling=SUBSAMPLING
            )
        )
        for y in range(0, padded.shape[0], TILE_PX)
        for x in range(0, padded.shape[1], TILE_PX)
    )
    return EncodedLevel(width, height, downsample, tiles)
