"""Missing areas: exactly the missing tiles, in few rectangles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from marrow_models.pyramid.codec import ZSTD_CODEC
from marrow_models.pyramid.layout import LevelLayout
from marrow_models.pyramid.missing import UNDECODABLE, UNSCANNED, missing_areas, missing_pixels, new_grid
from marrow_models.records import MissingArea, Rect

BASE = LevelLayout(70, 50, 8, 8, ZSTD_CODEC, "rgb", 1.0)


@given(arrays(np.uint8, (BASE.rows, BASE.columns), elements=st.integers(0, 2)))
def test_the_rectangles_cover_exactly_the_missing_tiles_and_none_twice(grid: np.ndarray) -> None:
    covered = np.zeros((BASE.height_px, BASE.width_px), int)
    for area in missing_areas(grid, BASE, BASE):
        rect = area.rect_px
        assert rect.width > 0
        assert rect.height > 0
        value = {"undecodable": UNDECODABLE, "unscanned": UNSCANNED}[area.cause]
        covered[rect.y : rect.bottom, rect.x : rect.right] += value * 10 + 1
    expected = np.repeat(np.repeat(grid, 8, 0), 8, 1)[: BASE.height_px, : BASE.width_px].astype(int)
    np.testing.assert_array_equal(covered, np.where(expected > 0, expected * 10 + 1, 0))
    for state in (UNDECODABLE, UNSCANNED):
        assert missing_pixels(grid, BASE, state) == int((expected == state).sum())


def test_a_block_of_tiles_is_one_rectangle() -> None:
    grid = new_grid(BASE)
    grid[1:4, 2:5] = UNDECODABLE
    assert list(missing_areas(grid, BASE, BASE)) == [MissingArea(Rect(16, 8, 24, 24), "undecodable")]


def test_a_tile_of_a_lower_level_is_told_in_level_0_pixels_up_to_the_slides_edge() -> None:
    lower = LevelLayout(17, 12, 8, 8, ZSTD_CODEC, "rgb", 4.0)
    grid = new_grid(lower)
    grid[-1, -1] = UNDECODABLE
    (area,) = missing_areas(grid, lower, BASE)
    assert area.rect_px == Rect(64, 32, 6, 18)
