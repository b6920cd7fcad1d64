"""Areas of a level whose pixels are not known, kept tile by tile and told as few rectangles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from marrow_models.pyramid.layout import LevelLayout
from marrow_models.records import MissingArea, Rect

PRESENT, UNDECODABLE, UNSCANNED = 0, 1, 2
CAUSES = {UNDECODABLE: "undecodable", UNSCANNED: "unscanned"}


def new_grid(layout: LevelLayout) -> NDArray[np.uint8]:
    """Return a state for every tile of a level, shape (rows, columns), all present."""
    return np.full((layout.rows, layout.columns), PRESENT, np.uint8)


def missing_areas(grid: NDArray[np.uint8], layout: LevelLayout, base: LevelLayout) -> Iterator[MissingArea]:
    """Rectangles of ``base`` (level 0) pixels that cover exactly the tiles of ``layout`` that are not present."""
    for state, cause in CAUSES.items():
        for top, left, bottom, right in _rectangles(grid == state):
            first, last = layout.tile_rect(top, left), layout.tile_rect(bottom - 1, right - 1)
            yield MissingArea(_scaled(first.x, first.y, last.right, last.bottom, layout, base), cause)


def missing_pixels(grid: NDArray[np.uint8], layout: LevelLayout, state: int) -> int:
    """Pixels of the level in tiles of ``state``."""
    heights = _clipped(layout.rows, layout.tile_height_px, layout.height_px)
    widths = _clipped(layout.columns, layout.tile_width_px, layout.width_px)
    return int(heights @ ((grid == state) @ widths))


def _clipped(tiles: int, tile_px: int, level_px: int) -> NDArray[np.int64]:
    """Height (or width) of each row (column) of tiles, the last one clipped to the level."""
    return np.minimum(tile_px, level_px - np.arange(tiles, dtype=np.int64) * tile_px)


def _scaled(left: int, top: int, right: int, bottom: int, layout: LevelLayout, base: LevelLayout) -> Rect:
    """Level pixels as level-0 pixels, rounded outwards; the level's own edge is the slide's edge."""
    factor = layout.downsample
    x, y = int(left * factor), int(top * factor)
    far_x = base.width_px if right == layout.width_px else min(base.width_px, int(np.ceil(right * factor)))
    far_y = base.height_px if bottom == layout.height_px else min(base.height_px, int(np.ceil(bottom * factor)))
    return Rect(x, y, far_x - x, far_y - y)


def _rectangles(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int, int, int]]:
    """Cover a mask by disjoint rectangles (top, left, bottom, right): runs of a row, joined with equal runs below."""
    growing: dict[tuple[int, int], int] = {}
    for row in range(mask.shape[0] + 1):
        runs = set(_runs(mask[row])) if row < mask.shape[0] else set()
        for run in [run for run in growing if run not in runs]:
            yield growing.pop(run), run[0], row, run[1]
        for run in runs:
            growing.setdefault(run, row)


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(np.int8), [0]))))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
