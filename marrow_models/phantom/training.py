"""Labelled fields for training networks: like pieces of phantom slides, but denser and with rare classes common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from marrow_models.phantom.cells import CellPlan, plan_cell
from marrow_models.phantom.film import Film, TruthCell, paint
from marrow_models.phantom.morphology import morphologies
from marrow_models.phantom.placement import Frame, PlacedCell, place_anywhere, place_apart
from marrow_models.phantom.regions import Ground, sample_region
from marrow_models.phantom.stain import sample_stain

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Cells this far outside reach into the field.
_MARGIN_UM = 10.0
_CELL_AREA_UM2 = 900.0
_TOUCHING = 0.08
# Cells that cannot be read are drawn this many times and repeated.
_UNREADABLE_KINDS = 8
# Labels outside the differential are rarer in training, but never absent.
_RARE = {"megakaryocyte": 0.1, "macrophage": 0.15, "mitosis": 0.5, "smudge_cell": 1.0}


@dataclass(frozen=True, slots=True)
class LabelledField:
    """A field with the boxes of its readable cells.

    ``image`` is uint8 (h, w, 3). ``boxes`` is float32 (N, 4): left, top, right, bottom in pixels, half-open, cut at
    the border; one label a box. Only cells whose centre lies in the field have a box. ``ignored`` (M, 4) holds
    nucleated cells that are neither to be found nor to be held against a detector: cut so that the centre is
    outside, in a clot, or out of focus.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: tuple[str, ...]
    ignored: NDArray[np.float32]


@cache
def default_class_weights() -> Mapping[str, float]:
    """Weights that make every label about equally common, those outside the differential rarer."""
    return {label: _RARE.get(label, 1.0) for label in morphologies()}


def training_field(
    rng: np.random.Generator,
    *,
    size_px: int = 512,
    um_per_px: float = 0.25,
    class_weights: Mapping[str, float] | None = None,
    density: float = 1.0,
    readable_only: bool = False,
) -> LabelledField:
    """Paint a random square field in a random stain, JPEG-compressed as a slide is.

    ``density`` 1 is three to four times that of a phantom slide. A quarter of the fields hold a clot, a part out of
    focus or bare glass, unless ``readable_only``.
    """
    weights = default_class_weights() if class_weights is None else class_weights
    side = size_px * um_per_px
    ground = Ground() if readable_only else _sample_ground(rng, side)
    cells = _sample_cells(rng, weights, side, ground, density)
    film = Film(
        size_px,
        size_px,
        um_per_px,
        sample_stain(rng, 1.15),
        ground,
        red_cell_density=float(rng.uniform(0.35, 0.85)),
        platelets_per_mm2=float(rng.uniform(300, 1600)),
        dirt_per_mm2=float(rng.uniform(50, 500)),
        blur_um=float(rng.uniform(1.5, 2.2)),
    )
    image, truth = paint(rng, film, cells)
    boxes, labels, ignored = _boxes(truth, size_px)
    return LabelledField(_recompressed(rng, image), boxes, labels, ignored)


def _sample_ground(rng: np.random.Generator, side_um: float) -> Ground:
    kind = rng.random()
    if kind >= 0.25:
        return Ground()
    radius = float(rng.uniform(0.3, 0.9) * side_um)
    # Around a point on a random side, so that the region's edge crosses the field.
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.9) * side_um
    centre = (side_um / 2 + reach * np.cos(angle), side_um / 2 + reach * np.sin(angle))
    region = (sample_region(rng, centre, radius),)
    if kind < 0.1:
        return Ground(clots=region)
    return Ground(blurred=region) if kind < 0.2 else Ground(glass=region)


def _sample_cells(
    rng: np.random.Generator, weights: Mapping[str, float], side_um: float, ground: Ground, density: float
) -> list[PlacedCell]:
    number = int(rng.poisson(density * (side_um + 2 * _MARGIN_UM) ** 2 / _CELL_AREA_UM2 * rng.uniform(0.6, 1.3)))
    frame = Frame(-_MARGIN_UM, -_MARGIN_UM, side_um + _MARGIN_UM, side_um + _MARGIN_UM, whole_cells=False)
    # Large cells first: they find no room later.
    plans = sorted(_sample_plans(rng, weights, number), key=lambda plan: -plan.radius_um)
    cells = place_apart(rng, plans, frame, ground.regions, touching=_TOUCHING, strict=False)
    for region, um2_per_cell in ground.unreadable:
        inside = int(region.radius_x_um * region.radius_y_um / um2_per_cell)
        cells += place_anywhere(rng, _sample_plans(rng, weights, _UNREADABLE_KINDS), region, inside)
    return [cell for cell in cells if _is_visible(cell, side_um)]


def _sample_plans(rng: np.random.Generator, weights: Mapping[str, float], number: int) -> list[CellPlan]:
    share = np.array(list(weights.values()), float)
    kinds = [morphologies()[label] for label in weights]
    return [plan_cell(rng, kinds[index]) for index in rng.choice(len(kinds), number, p=share / share.sum())]


def _is_visible(cell: PlacedCell, side_um: float) -> bool:
    reach = 1.2 * cell.plan.radius_um
    return -reach < cell.x_um < side_um + reach and -reach < cell.y_um < side_um + reach


def _boxes(
    truth: tuple[TruthCell, ...], size_px: int
) -> tuple[NDArray[np.float32], tuple[str, ...], NDArray[np.float32]]:
    boxes: list[tuple[int, int, int, int]] = []
    ignored: list[tuple[int, int, int, int]] = []
    labels: list[str] = []
    for cell in truth:
        x0, y0, x1, y1 = cell.box_px
        box = (max(0, x0), max(0, y0), min(size_px, x1), min(size_px, y1))
        if box[0] >= box[2] or box[1] >= box[3]:
            continue
        if cell.readable and 0 <= cell.x_px < size_px and 0 <= cell.y_px < size_px:
            boxes.append(box)
            labels.append(cell.label)
        else:
            ignored.append(box)
    return _array(boxes), tuple(labels), _array(ignored)


def _array(boxes: list[tuple[int, int, int, int]]) -> NDArray[np.float32]:
    return np.array(boxes, np.float32).reshape(-1, 4)


def _recompressed(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    quality = int(rng.integers(85, 93))
    encoded = imagecodecs.jpeg8_encode(image, level=quality, subsampling="420")
    return np.asarray(imagecodecs.jpeg8_decode(encoded), dtype=np.uint8)
