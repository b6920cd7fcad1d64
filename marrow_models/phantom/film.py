"""Painting a film of blood or marrow: glass, red cells, platelets, dirt, then nucleated cells on top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.phantom.cells import CellPicture, CellPlan, draw_cell
from marrow_models.phantom.optics import expose, spoil
from marrow_models.phantom.placement import PlacedCell
from marrow_models.phantom.regions import Ground
from marrow_models.phantom.sprites import SpriteBox, paste, sprite_box
from marrow_models.phantom.stain import Stain

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OCCUPANCY_UM = 2.0
_CLOT_BLUR_UM = 0.7
_RED_CELL_SPACING_UM = 7.6


@dataclass(frozen=True, slots=True)
class Film:
    """What is on the glass besides nucleated cells."""

    width_px: int
    height_px: int
    um_per_px: float
    stain: Stain
    ground: Ground
    red_cell_density: float = 0.72
    """Part of the places in a close monolayer that hold a red cell."""
    platelets_per_mm2: float = 900.0
    dirt_per_mm2: float = 160.0
    blur_um: float = 1.8
    """Standard deviation of the blur where the film is out of focus."""


@dataclass(frozen=True, slots=True)
class TruthCell:
    """A nucleated cell that is on the film."""

    label: str
    x_px: float
    y_px: float
    box_px: tuple[int, int, int, int]
    """Left, top, right, bottom, half-open; tight around the cell with its cytoplasm. May reach over the border."""
    readable: bool


def paint(
    rng: np.random.Generator, film: Film, cells: Sequence[PlacedCell]
) -> tuple[NDArray[np.uint8], tuple[TruthCell, ...]]:
    """Return the picture (height, width, 3) and what is on it, in the order of ``cells``."""
    canvas = np.empty((film.height_px, film.width_px, 3), np.uint8)
    canvas.reshape(film.height_px, -1)[:] = np.tile(np.round(film.stain.glass).astype(np.uint8), film.width_px)
    sprites = sprite_box(film.stain, film.um_per_px)
    _paint_red_cells(rng, canvas, film, sprites, cells)
    _scatter(rng, canvas, film, sprites.platelets, film.platelets_per_mm2, on_glass=False)
    truth = _paint_cells(rng, canvas, film, cells)
    _scatter(rng, canvas, film, sprites.dirt, film.dirt_per_mm2, on_glass=True)
    for region in film.ground.clots:
        spoil(rng, canvas, region, film.um_per_px, blur_um=_CLOT_BLUR_UM, thick=True)
    for region in film.ground.blurred:
        spoil(rng, canvas, region, film.um_per_px, blur_um=film.blur_um, thick=False)
    expose(rng, canvas)
    return canvas, truth


def _paint_red_cells(
    rng: np.random.Generator,
    canvas: NDArray[np.uint8],
    film: Film,
    sprites: SpriteBox,
    cells: Sequence[PlacedCell],
) -> None:
    """Paint red cells as a loose monolayer that nucleated cells push aside."""
    x, y = _red_cell_centres(rng, film)
    free = ~_occupied(x, y, film, cells)
    for region in film.ground.glass:
        free &= region.distance_um(x, y) > 0
    columns = np.rint(x[free] / film.um_per_px).astype(int).tolist()
    rows = np.rint(y[free] / film.um_per_px).astype(int).tolist()
    picks = rng.integers(0, len(sprites.red_cells), len(columns)).tolist()
    mirrored = (rng.random(len(columns)) < 0.5).tolist()
    for column, row, pick, mirror in zip(columns, rows, picks, mirrored, strict=True):
        sprite = sprites.red_cells[pick]
        paste(canvas, sprite[::-1] if mirror else sprite, column, row)


def _red_cell_centres(rng: np.random.Generator, film: Film) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a jittered lattice with gaps, in micrometres."""
    width_um, height_um = film.width_px * film.um_per_px, film.height_px * film.um_per_px
    step = _RED_CELL_SPACING_UM
    columns, rows = math.ceil(width_um / step) + 2, math.ceil(height_um / (step * 0.87)) + 2
    index = np.arange(rows)[:, None]
    x = (np.arange(columns)[None] + 0.5 * (index % 2) - 0.5) * step + rng.normal(0, 1.5, (rows, columns))
    y = (index - 0.5) * step * 0.87 + rng.normal(0, 1.5, (rows, columns))
    kept = rng.random((rows, columns)) < film.red_cell_density
    return x[kept].astype(np.float32), y[kept].astype(np.float32)


def _occupied(
    x: NDArray[np.float32], y: NDArray[np.float32], film: Film, cells: Sequence[PlacedCell]
) -> NDArray[np.bool_]:
    """Which points lie where a nucleated cell takes the room (marked on a coarse lattice)."""
    pad = 24  # cells and red cells may lie a little outside the picture
    width = math.ceil(film.width_px * film.um_per_px / _OCCUPANCY_UM) + 2 * pad
    height = math.ceil(film.height_px * film.um_per_px / _OCCUPANCY_UM) + 2 * pad
    taken = np.zeros((height, width), bool)
    for cell in cells:
        if not cell.readable:
            continue
        reach = (cell.plan.radius_um + 1.2) / _OCCUPANCY_UM
        column, row = cell.x_um / _OCCUPANCY_UM + pad, cell.y_um / _OCCUPANCY_UM + pad
        left, top = max(0, int(column - reach)), max(0, int(row - reach))
        window = taken[top : int(row + reach) + 2, left : int(column + reach) + 2]
        near_y = (np.arange(top, top + window.shape[0]) - row) ** 2
        near_x = (np.arange(left, left + window.shape[1]) - column) ** 2
        window |= near_y[:, None] + near_x[None] < reach**2
    columns = np.clip(np.rint(x / _OCCUPANCY_UM).astype(int) + pad, 0, width - 1)
    rows = np.clip(np.rint(y / _OCCUPANCY_UM).astype(int) + pad, 0, height - 1)
    return np.asarray(taken[rows, columns])


def _scatter(
    rng: np.random.Generator,
    canvas: NDArray[np.uint8],
    film: Film,
    sprites: Sequence[NDArray[np.uint16]],
    per_mm2: float,
    *,
    on_glass: bool,
) -> None:
    area_mm2 = film.width_px * film.height_px * film.um_per_px**2 / 1e6
    number = rng.poisson(per_mm2 * area_mm2)
    x, y = rng.integers(0, film.width_px, number), rng.integers(0, film.height_px, number)
    kept = np.ones(number, bool)
    if not on_glass:
        scale = np.float32(film.um_per_px)
        for region in film.ground.glass:
            kept &= region.distance_um(x.astype(np.float32) * scale, y.astype(np.float32) * scale) > 0
    picks = rng.integers(0, len(sprites), number)
    for column, row, pick in zip(x[kept].tolist(), y[kept].tolist(), picks[kept].tolist(), strict=True):
        paste(canvas, sprites[pick], column, row)


def _paint_cells(
    rng: np.random.Generator, canvas: NDArray[np.uint8], film: Film, cells: Sequence[PlacedCell]
) -> tuple[TruthCell, ...]:
    # Where cells cannot be read, plans repeat and so do their pictures.
    drawn: dict[CellPlan, CellPicture] = {}
    truth = []
    for cell in cells:
        if cell.plan not in drawn:
            drawn[cell.plan] = draw_cell(rng, cell.plan, film.um_per_px, film.stain)
        truth.append(_paint_cell(canvas, film, cell, drawn[cell.plan]))
    return tuple(truth)


def _paint_cell(canvas: NDArray[np.uint8], film: Film, cell: PlacedCell, picture: CellPicture) -> TruthCell:
    column, row = round(cell.x_um / film.um_per_px), round(cell.y_um / film.um_per_px)
    _blend(canvas, picture, column, row)
    left, top = column - picture.half_px, row - picture.half_px
    x0, y0, x1, y1 = picture.box
    box = (x0 + left, y0 + top, x1 + left, y1 + top)
    return TruthCell(picture.label, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box, cell.readable)


def _blend(canvas: NDArray[np.uint8], picture: CellPicture, column: int, row: int) -> None:
    size = picture.alpha.shape[0]
    top, left = row - picture.half_px, column - picture.half_px
    window = canvas[max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)]
    if not window.size:
        return
    cut = (slice(max(0, -top), max(0, -top) + window.shape[0]), slice(max(0, -left), max(0, -left) + window.shape[1]))
    through = np.repeat(1 - picture.alpha[cut], 3, axis=1).reshape(window.shape)
    through *= window
    through += picture.colour[cut]
    window[...] = np.minimum(through, 255, out=through)
