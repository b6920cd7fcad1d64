"""Levels made in one walk with threads are those of the plain way: whole pictures, halved one after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from marrow_models.pyramid import in_order as threads
from marrow_models.pyramid.chunks import LevelReader
from marrow_models.pyramid.codec import JPEG_CODEC, ZSTD_CODEC
from marrow_models.pyramid.in_order import in_order
from marrow_models.pyramid.layout import LevelLayout
from marrow_models.pyramid.levels import Damage, write_levels
from marrow_models.pyramid.made import encoded, halved
from marrow_models.pyramid.missing import PRESENT, UNDECODABLE, UNSCANNED
from marrow_models.pyramid.plan import LevelPlan
from marrow_models.records import Rect
from marrow_models.slides.reader import TileUnreadable
from tests.unit.slide_files.sources import jpeg_of, picture

Pixels = NDArray[np.uint8]


def plainly_halved(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge").astype(int)
    return ((even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2] + 2) // 4).astype(np.uint8)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_halving_is_the_plain_average_rounded_half_up(width: int, height: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height + 3, width, 3), dtype=np.uint8)[3:]
    np.testing.assert_array_equal(halved(pixels), plainly_halved(pixels))


class Drawn:
    """A source in memory: some tiles were never scanned, some do not decode."""

    def __init__(self, pixels: Pixels, layout: LevelLayout, *, striped: bool) -> None:
        self._pixels, self._layout, self._striped = pixels, layout, striped
        self.lost, self.unscanned = {(0, 3), (2, 1), (2, 2)}, {(1, 1), (4, 0), (4, 1)}

    def tile_size(self, level: int) -> tuple[int, int] | None:
        return None if self._striped else (self._layout.tile_width_px, self._layout.tile_height_px)

    def is_scanned(self, level: int, rect: Rect) -> bool:
        return self._place(rect) not in self.unscanned

    def region(self, level: int, rect: Rect) -> Pixels:
        if self._place(rect) in self.lost:
            raise TileUnreadable("drawn so")
        return self._pixels[rect.y : rect.bottom, rect.x : rect.right]

    def encoded_tile(self, level: int, column: int, row: int) -> bytes | None:
        if (row, column) in self.unscanned:
            return None
        rect = self._layout.tile_rect(row, column)
        part = self.region(level, rect)
        rest = ((0, self._layout.tile_height_px - rect.height), (0, self._layout.tile_width_px - rect.width), (0, 0))
        return jpeg_of(np.pad(part, rest, mode="edge"))

    def _place(self, rect: Rect) -> tuple[int, int]:
        return rect.y // self._layout.tile_height_px, rect.x // self._layout.tile_width_px


def layouts_of(width: int, height: int, tile: tuple[int, int], codec: str, levels: int) -> list[LevelLayout]:
    colour = "ycbcr" if codec == JPEG_CODEC else "rgb"
    found = [LevelLayout(width, height, *tile, codec, colour, 1.0)]
    for _ in range(levels):
        above = found[-1]
        size = -(-above.width_px // 2), -(-above.height_px // 2)
        found.append(LevelLayout(*size, *tile, codec, colour, above.downsample * 2))
    return found


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("striped", [False, True])
@pytest.mark.parametrize(
    ("size", "tile", "codec", "levels"),
    [
        ((1111, 909), (64, 64), JPEG_CODEC, 3),
        ((1111, 909), (64, 64), ZSTD_CODEC, 6),
        ((700, 1025), (65, 71), ZSTD_CODEC, 3),
        ((2049, 700), (512, 80), JPEG_CODEC, 2),
        ((1300, 2900), (600, 600), ZSTD_CODEC, 2),
    ],
)
def test_the_chunks_are_those_of_whole_pictures_halved(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    tile: tuple[int, int],
    codec: str,
    levels: int,
    striped: bool,
    count: int,
) -> None:
    monkeypatch.setattr(threads, "threads", lambda: count)
    layouts = layouts_of(*size, tile, codec, levels)
    pixels = picture(*size)
    pixels[-100:, :300] = 255  # white at an edge
    source = Drawn(pixels, layouts[0], striped=striped)
    plan = LevelPlan(layouts[0], 0, codec == JPEG_CODEC)
    damage = Damage(layouts[0].rows * layouts[0].columns, 0.5)
    written = write_levels(source, plan, layouts[1:], tmp_path, 0, damage)

    known = np.full_like(pixels, 255)
    readers = [LevelReader(tmp_path, number, layout) for number, layout in enumerate(layouts)]
    states = np.full((layouts[0].rows, layouts[0].columns), PRESENT)
    for row, column in np.ndindex(states.shape):
        rect = layouts[0].tile_rect(row, column)
        chunk = readers[0].chunk(row, column)
        if (row, column) in source.lost | source.unscanned:
            states[row, column] = UNDECODABLE if (row, column) in source.lost else UNSCANNED
            assert chunk is None
        else:
            part = pixels[rect.y : rect.bottom, rect.x : rect.right]
            assert chunk == (source.encoded_tile(0, column, row) if plan.copied else encoded(part, layouts[0]))
            got = readers[0].tile(row, column)
            if got is not None:
                known[rect.y : rect.bottom, rect.x : rect.right] = got[: rect.height, : rect.width]
    np.testing.assert_array_equal(written[0].grid, states)
    lost = sum(row < states.shape[0] and column < states.shape[1] for row, column in source.lost)
    assert (damage.lost, damage.decoded) == (lost, int((states == PRESENT).sum()))

    for layout, reader in zip(layouts[1:], readers[1:], strict=True):
        known = plainly_halved(known)
        for row, column in np.ndindex(layout.rows, layout.columns):
            rect = layout.tile_rect(row, column)
            assert reader.chunk(row, column) == encoded(known[rect.y : rect.bottom, rect.x : rect.right], layout)


def test_results_come_in_the_order_of_the_questions_and_an_error_in_its_place() -> None:
    def work(number: int) -> int:
        if number == 7:
            raise TileUnreadable("the eighth")
        return number * number

    results = in_order(work, range(100))
    assert [next(results) for _ in range(7)] == [number * number for number in range(7)]
    with pytest.raises(TileUnreadable):
        next(results)


def test_few_results_wait_at_a_time() -> None:
    asked: list[int] = []

    def questions():
        for number in range(1000):
            asked.append(number)
            yield number

    results = in_order(lambda number: number, questions())
    assert next(results) == 0
    assert len(asked) <= 3 * threads.threads()
    results.close()
