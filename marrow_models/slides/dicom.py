"""DICOM VL Whole Slide Microscopy: one series is one slide, its VOLUME instances are the levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from marrow_models.errors import Reason, SlideRefused
from marrow_models.records import Rect, SlideInfo
from marrow_models.slides.cache import ArrayCache
from marrow_models.slides.dicom_header import read_membership
from marrow_models.slides.dicom_level import DicomLevel
from marrow_models.slides.files import open_regular
from marrow_models.slides.levels import level_infos
from marrow_models.slides.pixel_size import believable, stated
from marrow_models.slides.reader import ColourSpace

_CACHE_BYTES = 32 << 20


class DicomReader:
    """The whole-slide images of one series; see :class:`~marrow_models.slides.reader.SlideReader`.

    Label, overview and thumbnail instances are never opened for their pixels.

    Raises
    ------
    SlideRefused
        CORRUPT_HEADER, TRUNCATED, BOMB, PIXEL_FORMAT, or MISSING_SIDECAR where a series has no level.
    """

    def __init__(self, path: Path, members: Sequence[Path], dialect: str) -> None:
        self._levels: list[DicomLevel] = []
        try:
            for member in dict.fromkeys((path, *members)):
                if _is_level(member):
                    self._levels.append(DicomLevel(member))
            self._check_levels()
        except BaseException:
            self.close()
            raise
        self._cache = ArrayCache(_CACHE_BYTES)
        colours = {number: level.colour for number, level in enumerate(self._levels)}
        self.jpeg_levels: Mapping[int, ColourSpace] = MappingProxyType(
            {number: colour for number, colour in colours.items() if colour is not None}
        )
        base = self._levels[0]
        self.stated_um_per_px = None if base.spacing_um is None else stated(*base.spacing_um)
        self.info = SlideInfo(
            dialect,
            base.width_px,
            base.height_px,
            believable(self.stated_um_per_px),
            level_infos([(level.width_px, level.height_px) for level in self._levels]),
            base.objective_power,
        )

    def _check_levels(self) -> None:
        if not self._levels:
            raise SlideRefused(Reason.MISSING_SIDECAR, "no VOLUME instance in the series")
        self._levels.sort(key=lambda level: -level.width_px)
        widths = [level.width_px for level in self._levels]
        if len(set(widths)) < len(widths):
            raise SlideRefused(Reason.PIXEL_FORMAT, "two instances of one level (a concatenation or several planes)")

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """Width and height of a frame, px."""
        return self._levels[level].tile_width_px, self._levels[level].tile_height_px

    def encoded_tile(self, level: int, column: int, row: int) -> bytes | None:
        """One frame as a JPEG stream; None where the tile was never scanned."""
        found = self._levels[level]
        frame = found.frame(column, row)
        if frame is None:
            return None
        return found.streams.alone(frame)

    def is_scanned(self, level: int, rect: Rect) -> bool:
        """Whether ``rect`` touches a tile that has a frame."""
        return any(self._levels[level].has_frame(column, row) for column, row in self._touched(level, rect))

    def region(self, level: int, rect: Rect) -> NDArray[np.uint8]:
        """Pixels of ``rect``, shape (height, width, 3)."""
        found = self._levels[level]
        out = np.full((rect.height, rect.width, 3), 255, np.uint8)
        for column, row in self._touched(level, rect):
            pixels = self._tile(level, column, row)
            if pixels is None:
                continue
            x, y = column * found.tile_width_px, row * found.tile_height_px
            top, left = max(y, rect.y), max(x, rect.x)
            bottom = min(y + found.tile_height_px, rect.bottom, found.height_px)
            right = min(x + found.tile_width_px, rect.right, found.width_px)
            out[top - rect.y : bottom - rect.y, left - rect.x : right - rect.x] = pixels[
                top - y : bottom - y, left - x : right - x
            ]
        return out

    def close(self) -> None:
        """Close all instances."""
        for level in self._levels:
            level.file.close()

    def _tile(self, level: int, column: int, row: int) -> NDArray[np.uint8] | None:
        pixels = self._cache.get((level, column, row))
        if pixels is None:
            found = self._levels[level]
            frame = found.frame(column, row)
            if frame is None:
                return None
            pixels = found.decode(frame, self.jpeg_levels.get(level))
            self._cache.put((level, column, row), pixels)
        return pixels

    def _touched(self, level: int, rect: Rect) -> list[tuple[int, int]]:
        found = self._levels[level]
        rows = range(
            max(rect.y, 0) // found.tile_height_px, -(-min(rect.bottom, found.height_px) // found.tile_height_px)
        )
        columns = range(
            max(rect.x, 0) // found.tile_width_px, -(-min(rect.right, found.width_px) // found.tile_width_px)
        )
        return [(column, row) for row in rows for column in columns]


def _is_level(path: Path) -> bool:
    with open_regular(path) as file:
        membership = read_membership(file)
    if membership is None:
        raise SlideRefused(Reason.WRONG_TYPE, "a DICOM file that is no whole-slide image")
    return membership.is_volume
