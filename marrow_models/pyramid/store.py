"""Reading a store: any region of any level, and any region at any scale."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marrow_models.pyramid.chunks import LevelReader
from marrow_models.pyramid.layout import FILL, FORMAT_VERSION, MARROW, layout_of
from marrow_models.pyramid.manifest import COMPLETE, StoreError, check_sizes, read_manifest
from marrow_models.pyramid.scale import resampled
from marrow_models.records import LevelInfo, MissingArea, Rect, SlideInfo, edges_of
from marrow_models.slides.cache import ArrayCache

_TILES = ArrayCache(64 << 20)
"""Tiles decoded lately in this process, of all stores: neighbouring fields share them."""


class Pyramid:
    """An open, complete store. Cheap to open and to pickle: it holds no file and travels as its path."""

    def __init__(self, store: Path, mark: str, group: dict[str, Any], arrays: list[dict[str, Any]]) -> None:
        marrow = group["attributes"][MARROW]
        self._store, self._mark = store, mark
        layouts = [layout_of(doc, down) for doc, down in zip(arrays, marrow["downsamples"], strict=True)]
        self._levels = [LevelReader(store, number, layout) for number, layout in enumerate(layouts)]
        self.um_per_px: float = marrow["um_per_px"]
        """Micrometres per pixel of level 0."""
        self.info = SlideInfo(
            marrow["format"],
            layouts[0].width_px,
            layouts[0].height_px,
            self.um_per_px,
            tuple(LevelInfo(level.width_px, level.height_px, level.downsample) for level in layouts),
            marrow["objective_power"],
        )
        self._missing = [(level, MissingArea(Rect(*box), cause)) for level, *box, cause in marrow["missing"]]
        self.missing: tuple[MissingArea, ...] = self.missing_at(0)
        """Areas of level 0 whose pixels are not known, level-0 px."""
        self.missing_px: NDArray[np.int64] = edges_of(self.missing)
        """The same as (N, 4): left, top, right, bottom."""

    @staticmethod
    def open(store: Path) -> Pyramid:
        """Open the store at ``store``; opening it again in this process costs one small read.

        Raises
        ------
        StoreError
            It is not there, not complete, or not as it was written.
        """
        try:
            mark = (store / COMPLETE).read_text("ascii")
        except (FileNotFoundError, NotADirectoryError):
            raise StoreError(f"{store.name} is not a complete store: ingest the slide (again)") from None
        return _open(store, mark)

    def __reduce__(self) -> tuple[Callable[[Path], Pyramid], tuple[Path]]:
        return Pyramid.open, (self._store,)

    def missing_at(self, level: int) -> tuple[MissingArea, ...]:
        """Areas that ``level`` lacks, in level-0 px. Levels that were made lack what the level above lacks."""
        return tuple(area for number, area in self._missing if number == level)

    def level_for(self, um_per_px: float) -> int:
        """Return the coarsest level that is not coarser than ``um_per_px``; 0 if every one is."""
        fits = [n for n, level in enumerate(self.info.levels) if self.um_per_px * level.downsample <= um_per_px * 1.001]
        return max(fits, default=0)

    def region(self, level: int, rect: Rect) -> NDArray[np.uint8]:
        """Pixels of ``rect`` (level pixels, may reach outside), shape (height, width, 3); 255 where none are known."""
        layout = self._levels[level].layout
        inside = rect.x >= 0 and rect.y >= 0 and rect.right <= layout.width_px and rect.bottom <= layout.height_px
        shape = max(0, rect.height), max(0, rect.width), 3
        out = np.empty(shape, np.uint8) if inside else np.full(shape, FILL, np.uint8)
        last_row, last_column = min(rect.bottom, layout.height_px) - 1, min(rect.right, layout.width_px) - 1
        rows = range(max(rect.y, 0) // layout.tile_height_px, last_row // layout.tile_height_px + 1)
        columns = range(max(rect.x, 0) // layout.tile_width_px, last_column // layout.tile_width_px + 1)
        for (row, column), pixels in self._tiles(level, list(itertools.product(rows, columns))):
            tile = layout.tile_rect(row, column)
            top, left = max(tile.y, rect.y), max(tile.x, rect.x)
            bottom, right = min(tile.bottom, rect.bottom), min(tile.right, rect.right)
            if top >= bottom or left >= right:  # beside the slide, where its last tile would go on
                continue
            part = out[top - rect.y : bottom - rect.y, left - rect.x : right - rect.x]
            part[:] = FILL if pixels is None else pixels[top - tile.y : bottom - tile.y, left - tile.x : right - tile.x]
        return out

    def scaled_region(self, um_per_px: float, rect: Rect, *, from_level: int = 0) -> NDArray[np.uint8]:
        """Pixels of ``rect`` on the lattice of a scale, shape (height, width, 3).

        Pixel (i, j) covers [j * s, (j + 1) * s) x [i * s, (i + 1) * s) um from the slide's corner, s being
        ``um_per_px``. What a pixel is depends on i and j alone, so overlapping requests agree bit for bit.
        ``from_level`` reads a coarser level: faster, for low power, and no longer independent of the container.
        """
        scale = self.um_per_px * self.info.levels[from_level].downsample
        return resampled(lambda part: self.region(from_level, part), um_per_px / scale, rect)

    def value_range(self, um_per_px: float, rect: Rect, *, from_level: int = 0, upper: bool = True) -> tuple[int, int]:
        """Bounds of all values of :meth:`scaled_region`, from whole tiles: cheaper, and perhaps wider than need be.

        (255, 255) where the store holds nothing under ``rect``; nothing is decoded then. Without ``upper`` nobody looks
        for the upper bound, which is 255 then.
        """
        layout = self._levels[from_level].layout
        ratio = um_per_px / (self.um_per_px * self.info.levels[from_level].downsample)
        edge = 0 if ratio == 1.0 else math.ceil(ratio) + 1  # what averaging and interpolation may reach for
        left, top = math.floor(rect.x * ratio) - edge, math.floor(rect.y * ratio) - edge
        right, bottom = math.ceil(rect.right * ratio) + edge, math.ceil(rect.bottom * ratio) + edge
        rows = range(max(top, 0) // layout.tile_height_px, -(-min(bottom, layout.height_px) // layout.tile_height_px))
        columns = range(max(left, 0) // layout.tile_width_px, -(-min(right, layout.width_px) // layout.tile_width_px))
        if not self._levels[from_level].holds_any(rows, columns):
            return FILL, FILL
        low, high = FILL, 0 if upper else FILL
        for _, pixels in self._tiles(from_level, list(itertools.product(rows, columns))):
            low = low if pixels is None else min(low, int(pixels.min()))
            high = FILL if pixels is None or high == FILL else max(high, int(pixels.max()))
        inside = left >= 0 and top >= 0 and right <= layout.width_px and bottom <= layout.height_px
        return low, high if inside else FILL

    def _tiles(
        self, level: int, places: list[tuple[int, int]]
    ) -> Iterator[tuple[tuple[int, int], NDArray[np.uint8] | None]]:
        """Yield (row, column) and pixels of each tile; those that were decoded lately first."""
        rest = []
        for place in places:
            pixels = _TILES.get((self._store, self._mark, level, *place))
            if pixels is None:
                rest.append(place)
            else:
                yield place, pixels
        for place, pixels in zip(rest, self._levels[level].tiles(rest), strict=True):
            if pixels is not None:
                _TILES.put((self._store, self._mark, level, *place), pixels)
            yield place, pixels


@lru_cache(maxsize=32)
def _open(store: Path, mark: str) -> Pyramid:
    check_sizes(store, read_manifest(store))
    group = json.loads((store / "zarr.json").read_bytes())
    marrow = group["attributes"].get(MARROW, {})
    if marrow.get("version") != FORMAT_VERSION:
        raise StoreError(f"{store.name} is of another version: ingest the slide again")
    arrays = [json.loads((store / str(n) / "zarr.json").read_bytes()) for n in range(len(marrow["downsamples"]))]
    return Pyramid(store, mark, group, arrays)
