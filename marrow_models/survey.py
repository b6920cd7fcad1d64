"""Survey: at low power, where nucleated cells lie in a monolayer that can be read.

Each field of a slide-anchored grid is judged by what a person looks for with the 10x objective (ICSH 2008: intact,
contiguous nucleated cells, neither bare glass nor clots nor a blurred part): the area of nuclei by their optical
density in red light, how crowded it is, how sharp the edges of the nuclei are, and how much of it is known at all.
Low power is read block by block; what is unknown, white or bare glass in it costs next to nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from marrow_models.field_look import FieldLook, cannot_hold_nuclei, look_at_each, rejection
from marrow_models.model_settings import SurveySettings
from marrow_models.records import Field, Rect

if TYPE_CHECKING:
    from marrow_models.bundle import Bundle
    from marrow_models.pyramid.store import Pyramid

LARGEST_MISSING_SHARE = 0.25
PIECE_UM, LARGE_PIECE_UM = 512.0, 1024.0
"""Sides of the squares whose fields are one piece of work: read together, they need no halo between them."""
MANY_PIECES = 8
"""For each worker: from here on large pieces are fine enough."""
_BLOCK_PX = 1024
"""Fields are read in blocks of about this side, pixels at low power."""
_READABLE, _EMPTY, _MISSING = "", "empty", "missing"


@dataclass(frozen=True, slots=True)
class Survey:
    """The fields of a slide that can be read, best first, and the area of those that cannot, by reason."""

    fields: tuple[Field, ...]
    readable_mm2: float
    rejected_mm2: dict[str, float]
    """``empty``, ``clot``, ``out_of_focus``, ``missing``."""


def survey(slide: Pyramid, bundle: Bundle) -> Survey:
    """Judge every field of a slide; memory is that of one block of fields.

    Raises SlideRefused(MPP_OUT_OF_RANGE) for a slide that the bundle's models cannot read.
    """
    bundle.check_scale(slide.um_per_px)
    settings = bundle.survey
    grid = _Grid(slide, settings)
    reasons = np.full(grid.shape, _EMPTY, object)
    reasons[grid.missing] = _MISSING
    fields: list[Field] = []
    for (row, column), look in _looks(slide, grid, settings):
        reason = rejection(look, settings)
        if reason is None:
            expected = round(look.nuclear_um2 / settings.nucleus_um2, 3)
            readability = round(_readability(look, settings), 3)
            fields.append(Field(row * grid.shape[1] + column, grid.rect(row, column), expected, readability))
        reasons[row, column] = reason or _READABLE
    fields.sort(
        key=lambda field: (-field.readability * min(field.expected_cells, 1.0), -field.expected_cells, field.field_id)
    )
    readable = sum(f.rect_px.width * f.rect_px.height for f in fields) * slide.um_per_px**2 / 1e6
    return Survey(tuple(fields), readable, _areas(reasons, grid.mm2))


def choose_fields(survey: Survey, target: int | None, *, among: Sequence[Field] | None = None) -> tuple[Field, ...]:
    """The best fields of ``among`` (default: all) until ``target`` cells are expected; all of them for None."""
    left = survey.fields if among is None else tuple(among)
    if target is None:
        return left
    chosen: list[Field] = []
    expected = 0.0
    for field in left:
        if expected >= target:
            break
        chosen.append(field)
        expected += field.expected_cells
    return tuple(chosen)


def neighbours(fields: Sequence[Field], side_px: int) -> list[tuple[Field, ...]]:
    """``fields`` in groups that lie in one square of about ``side_px`` (level 0), the group of the first field first.

    To look at a group at once costs less than its fields one by one, and gives the same cells. The square holds whole
    fields, so that groups side by side are equally large whatever the scale.
    """
    groups: dict[tuple[int, int], list[Field]] = {}
    widest = max((max(field.rect_px.width, field.rect_px.height) for field in fields), default=1)
    side_px = max(1, round(side_px / widest)) * widest
    for field in fields:
        groups.setdefault((field.rect_px.x // side_px, field.rect_px.y // side_px), []).append(field)
    return [tuple(group) for group in groups.values()]


def pieces_of_work(fields: Sequence[Field], um_per_px: float, workers: int = 1) -> list[tuple[Field, ...]]:
    """``fields`` in pieces that a worker gets at a time, that of the first field first. Changes no cell.

    A large piece is read ahead within itself; small ones keep all workers busy until the end. So a slide of many fields
    is cut into squares of LARGE_PIECE_UM, a few fields into PIECE_UM.
    """
    large = neighbours(fields, round(LARGE_PIECE_UM / um_per_px))
    return large if len(large) >= MANY_PIECES * workers else neighbours(fields, round(PIECE_UM / um_per_px))


def field_grid(width_px: int, height_px: int, um_per_px: float, settings: SurveySettings) -> Iterator[Rect]:
    """Disjoint squares of ``field_um`` anchored at the slide's corner; those at the far edges are cut."""
    side = _side_px(um_per_px, settings)
    for y in range(0, height_px, side):
        for x in range(0, width_px, side):
            yield Rect(x, y, min(side, width_px - x), min(side, height_px - y))


def lost_px(slide: Pyramid, settings: SurveySettings) -> NDArray[np.int64]:
    """Pixels of each field of :func:`field_grid` that are not known.

    Each area is looked at once, with the fields that it touches: a slide may have a hundred thousand of both.
    """
    side = _side_px(slide.um_per_px, settings)
    columns, rows = -(-slide.info.width_px // side), -(-slide.info.height_px // side)
    lost = np.zeros((rows, columns), np.int64)
    edge = (slide.info.width_px, slide.info.height_px) * 2
    for left, top, right, bottom in np.clip(slide.missing_px, 0, edge):
        across, first_column = _shares(left, right, side)
        down, first_row = _shares(top, bottom, side)
        part = lost[first_row : first_row + len(down), first_column : first_column + len(across)]
        part += down[:, None] * across
    return lost.ravel()


def _readability(look: FieldLook, settings: SurveySettings) -> float:
    """1 for an even, sharp field; less near the limits of crowding and focus."""
    crowded = look.dark_share / settings.largest_dark_share
    sharp = (look.sharpness or 0.0) / settings.least_sharpness - 1
    return max(0.05, min(1.0, 2 * (1 - crowded)) * min(1.0, 2 * sharp + 0.5))


def _side_px(um_per_px: float, settings: SurveySettings) -> int:
    return max(1, round(settings.field_um / um_per_px))


def _shares(start: int, end: int, side: int) -> tuple[NDArray[np.int64], int]:
    """How much of [start, end) lies in each interval of the grid that it touches, and the number of the first."""
    first = start // side
    edges = np.arange(first, -(-end // side) + 1, dtype=np.int64) * side
    inside = np.clip(edges, start, end)
    return inside[1:] - inside[:-1], int(first)


class _Grid:
    """The fields of a slide as arrays of (rows, columns), and where they lie at low power."""

    def __init__(self, slide: Pyramid, settings: SurveySettings) -> None:
        self._side = _side_px(slide.um_per_px, settings)
        self._size = slide.info.width_px, slide.info.height_px
        self.xs, self.ys = (np.arange(0, size, self._side) for size in self._size)
        self.shape = len(self.ys), len(self.xs)
        rights, bottoms = (
            np.minimum(starts + self._side, size) for starts, size in zip((self.xs, self.ys), self._size, strict=True)
        )
        area_px = (bottoms - self.ys)[:, None] * (rights - self.xs)
        self.mm2 = area_px * slide.um_per_px**2 / 1e6
        self.missing = lost_px(slide, settings).reshape(self.shape) > LARGEST_MISSING_SHARE * area_px
        factor = slide.um_per_px / settings.um_per_px
        self.columns, self.rows = _low_power(self.xs, rights, factor), _low_power(self.ys, bottoms, factor)
        """First pixel at low power and the one behind the last, of each column and row of fields."""

    def rect(self, row: int, column: int) -> Rect:
        """Level-0 pixels of a field."""
        x, y = int(self.xs[column]), int(self.ys[row])
        return Rect(x, y, min(self._side, self._size[0] - x), min(self._side, self._size[1] - y))

    def blocks(self) -> Iterator[NDArray[np.intp]]:
        """Yield (row, column) of the fields of a block that are not missing, shape (N, 2), blocks in rows."""
        step = max(1, _BLOCK_PX // max(1, int(self.columns[0][1] - self.columns[0][0])))
        for top, left in itertools.product(range(0, self.shape[0], step), range(0, self.shape[1], step)):
            known = np.argwhere(~self.missing[top : top + step, left : left + step])
            if len(known):
                yield known + np.array((top, left))


def _looks(slide: Pyramid, grid: _Grid, settings: SurveySettings) -> Iterator[tuple[tuple[int, int], FieldLook]]:
    """Yield (row, column) and look of every field that may hold nuclei."""
    level = slide.level_for(settings.um_per_px)
    for known in grid.blocks():
        (top, left), (bottom, right) = known.min(axis=0), known.max(axis=0) + 1
        rows, columns = grid.rows[top:bottom], grid.columns[left:right]
        y, x = int(rows[0][0]), int(columns[0][0])
        rect = Rect(x, y, int(columns[-1][1]) - x, int(rows[-1][1]) - y)
        low, high = slide.value_range(settings.um_per_px, rect, from_level=level, upper=_asks_for_brightest(settings))
        if cannot_hold_nuclei(np.full(3, low, np.uint8), np.full(3, high, np.uint8), settings):
            continue
        pixels = slide.scaled_region(settings.um_per_px, rect, from_level=level)
        empty = _surely_empty(pixels, rows - y, columns - x, settings)
        of_a_size: dict[tuple[int, ...], list[tuple[tuple[int, int], NDArray[np.uint8]]]] = {}
        for row, column in known.tolist():
            if not empty[row - top, column - left]:
                (y0, y1), (x0, x1) = grid.rows[row] - y, grid.columns[column] - x
                field = pixels[y0:y1, x0:x1]
                of_a_size.setdefault(field.shape, []).append(((row, column), field))
        for alike in of_a_size.values():
            places, fields = zip(*alike, strict=True)
            yield from zip(places, look_at_each(fields, settings), strict=True)


def _surely_empty(
    pixels: NDArray[np.uint8], rows: NDArray[np.int64], columns: NDArray[np.int64], settings: SurveySettings
) -> NDArray[np.bool_]:
    """Whether each field of a block is free of nuclei beyond doubt, by its darkest and brightest pixels."""
    darkest = _extreme(np.minimum, pixels, rows, columns)
    if not _asks_for_brightest(settings):
        return cannot_hold_nuclei(darkest, np.full_like(darkest, 255), settings)
    return cannot_hold_nuclei(darkest, _extreme(np.maximum, pixels, rows, columns), settings)


def _asks_for_brightest(settings: SurveySettings) -> bool:
    """Whether it is worth a look how bright a field is: glass is hardly less than white, but it is in blue light."""
    return settings.blue_share != 0


def _extreme(
    extreme: np.ufunc, pixels: NDArray[np.uint8], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """The ``extreme`` RGB values of each field of a block, shape (rows, columns, 3)."""
    lines = np.stack([extreme.reduce(pixels[top:bottom], axis=0) for top, bottom in rows])
    return np.asarray(extreme.reduceat(lines, columns[:, 0], axis=1), np.uint8)


def _low_power(starts: NDArray[np.int64], ends: NDArray[np.int64], factor: float) -> NDArray[np.int64]:
    """Pixels at low power that lie within [start, end) of the slide, shape (N, 2).

    A field that is thinner than a pixel of low power still gets one to look at.
    """
    first = np.ceil(starts * factor).astype(np.int64)
    return np.stack((first, np.maximum(first + 1, np.floor(ends * factor).astype(np.int64))), axis=1)


def _areas(reasons: NDArray[np.object_], mm2: NDArray[np.float64]) -> dict[str, float]:
    """Area of the fields by the reason of their rejection, added up field by field as they lie."""
    found, first = np.unique(reasons.astype(str), return_index=True)
    return {
        str(found[number]): float(np.cumsum(mm2[reasons == found[number]])[-1])
        for number in np.argsort(first)
        if found[number] != _READABLE
    }
