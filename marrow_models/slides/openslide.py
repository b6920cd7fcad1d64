"""Slides through OpenSlide: MIRAX, and the dialects of TIFF whose tiles overlap or need stitching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import openslide
from numpy.typing import NDArray

from marrow_models.errors import Reason, SlideRefused
from marrow_models.records import LevelInfo, Rect, SlideInfo
from marrow_models.slides.files import kind_of, source_errors
from marrow_models.slides.gate import check_dimensions
from marrow_models.slides.pixel_size import believable, believable_power, parse_decimal, stated
from marrow_models.slides.reader import ColourSpace, TileUnreadable

_UNIT_PX = 256
"""Width and height in which levels are read: damage costs no more than this."""


class OpenSlideReader:
    """A slide that OpenSlide opens; see :class:`~marrow_models.slides.reader.SlideReader`. Nothing can be copied.

    Raises
    ------
    SlideRefused
        CORRUPT_HEADER, BOMB or NOT_REGULAR_FILE.
    """

    def __init__(self, path: Path, members: Sequence[Path], dialect: str) -> None:
        with source_errors():
            kind = kind_of(path.lstat().st_mode)
            size = sum(member.lstat().st_size for member in {path, *members})
        if kind is not None:
            raise SlideRefused(Reason.NOT_REGULAR_FILE, kind)
        self._path = path
        self._slide = self._open()
        self._last: tuple[int, Rect, NDArray[np.uint8]] | None = None
        width, height = self._slide.dimensions
        check_dimensions(width, height, size)
        self.stated_um_per_px = stated(self._number("openslide.mpp-x"), self._number("openslide.mpp-y"))
        self.info = SlideInfo(
            dialect,
            width,
            height,
            believable(self.stated_um_per_px),
            tuple(
                LevelInfo(w, h, float(d))
                for (w, h), d in zip(self._slide.level_dimensions, self._slide.level_downsamples, strict=True)
            ),
            believable_power(self._number("openslide.objective-power")),
        )

    @property
    def jpeg_levels(self) -> Mapping[int, ColourSpace]:
        """None: OpenSlide gives pixels only."""
        return MappingProxyType({})

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """256 x 256 px, whatever the source's own tiles are."""
        return _UNIT_PX, _UNIT_PX

    def encoded_tile(self, level: int, column: int, row: int) -> bytes | None:
        """Raise: there is no level to copy from."""
        raise TileUnreadable("OpenSlide gives no compressed tiles")

    def is_scanned(self, level: int, rect: Rect) -> bool:
        """Whether any pixel of ``rect`` is not transparent."""
        return bool(self._rgba(level, rect)[..., 3].any())

    def region(self, level: int, rect: Rect) -> NDArray[np.uint8]:
        """Pixels of ``rect`` over white glass, shape (height, width, 3)."""
        rgba = self._rgba(level, rect)
        alpha = rgba[..., 3:]
        if alpha.min(initial=255) == 255:
            return np.ascontiguousarray(rgba[..., :3])
        weight = alpha.astype(np.uint16)
        return ((rgba[..., :3] * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()

    def _open(self) -> openslide.OpenSlide:
        try:
            return openslide.OpenSlide(self._path)
        except openslide.OpenSlideError:
            # Its message quotes the file's name and contents.
            raise SlideRefused(Reason.CORRUPT_HEADER, "OpenSlide does not open it") from None

    def _number(self, key: str) -> float | None:
        value = self._slide.properties.get(key)
        return None if value is None else parse_decimal(value)

    def _rgba(self, level: int, rect: Rect) -> NDArray[np.uint8]:
        """Pixels with their transparency; the last region is kept, as it is asked for twice."""
        if self._last is not None and self._last[:2] == (level, rect):
            return self._last[2]
        downsample = self.info.levels[level].downsample
        corner = round(rect.x * downsample), round(rect.y * downsample)
        try:
            rgba = np.asarray(self._slide.read_region(corner, level, (rect.width, rect.height)), np.uint8)
        except openslide.OpenSlideError:
            # An error sticks to the handle: without a fresh one every later region would fail as well.
            self._slide.close()
            self._slide = self._open()
            raise TileUnreadable("OpenSlide cannot decode the region") from None
        self._last = (level, rect, rgba)
        return rgba
