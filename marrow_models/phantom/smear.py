"""One synthetic smear at full resolution, with the truth about every nucleated cell on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.phantom.cells import CellPlan, plan_cell
from marrow_models.phantom.film import Film, TruthCell, paint
from marrow_models.phantom.morphology import morphologies
from marrow_models.phantom.placement import Frame, PlacedCell, place_anywhere, place_apart
from marrow_models.phantom.regions import Ground, Region, sample_region
from marrow_models.phantom.stain import sample_stain

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Cells that cannot be read are drawn this many times and repeated.
_UNREADABLE_KINDS = 40
_CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))


@dataclass(frozen=True, slots=True)
class SmearSpec:
    """What a smear holds. Sizes of its regions follow the size of the smear."""

    labels: tuple[str, ...]
    """Labels of the readable cells, one entry a cell."""
    width_px: int = 4096
    height_px: int = 4096
    um_per_px: float = 0.25
    clot: bool = True
    blurred: bool = True
    glass: bool = True
    touching: float = 0.06
    """Part of the cells that lean on a neighbour."""
    stain_variation: float = 1.0

    @property
    def size_um(self) -> tuple[float, float]:
        """Width and height in micrometres."""
        return self.width_px * self.um_per_px, self.height_px * self.um_per_px


@dataclass(frozen=True, slots=True)
class Smear:
    """A smear: ``image`` is uint8 (height, width, 3)."""

    image: NDArray[np.uint8]
    cells: tuple[TruthCell, ...]
    um_per_px: float


def render_smear(rng: np.random.Generator, spec: SmearSpec) -> Smear:
    """Paint a smear whose readable cells are exactly ``spec.labels``; others lie in the clot or out of focus."""
    stain = sample_stain(rng, spec.stain_variation)
    ground = _sample_ground(rng, spec)
    plans = _plans(rng, spec.labels)
    frame = Frame(0, 0, *spec.size_um)
    # Large cells first: they find no room later. Their order does not tell on the picture.
    cells = place_apart(
        rng, sorted(plans, key=lambda plan: -plan.radius_um), frame, ground.regions, touching=spec.touching
    )
    cells += _unreadable(rng, spec, ground)
    film = Film(spec.width_px, spec.height_px, spec.um_per_px, stain, ground, float(rng.uniform(0.6, 0.8)))
    image, truth = paint(rng, film, cells)
    return Smear(image, truth, spec.um_per_px)


def _plans(rng: np.random.Generator, labels: tuple[str, ...]) -> list[CellPlan]:
    table = morphologies()
    return [plan_cell(rng, table[label]) for label in labels]


def _sample_ground(rng: np.random.Generator, spec: SmearSpec) -> Ground:
    """Put a clot, a spot out of focus and bare glass at three different corners."""
    side = min(spec.size_um)
    corners = [_CORNERS[index] for index in rng.permutation(len(_CORNERS))]

    def region(wanted: bool, corner: tuple[float, float], inset: float, radius: float) -> tuple[Region, ...]:
        drawn = sample_region(rng, _near(corner, inset * side, spec.size_um), radius * side)
        return (drawn,) if wanted else ()

    return Ground(
        clots=region(spec.clot, corners[0], 0.16, 0.10),
        blurred=region(spec.blurred, corners[1], 0.17, 0.12),
        glass=region(spec.glass, corners[2], -0.05, 0.30),
    )


def _near(corner: tuple[float, float], inset_um: float, size_um: tuple[float, float]) -> tuple[float, float]:
    """Return a point ``inset_um`` inwards from a corner."""
    right, bottom = corner
    width, height = size_um
    return inset_um + right * (width - 2 * inset_um), inset_um + bottom * (height - 2 * inset_um)


def _unreadable(rng: np.random.Generator, spec: SmearSpec, ground: Ground) -> list[PlacedCell]:
    """Cells in the clot, over each other, and cells out of focus, apart."""
    cells: list[PlacedCell] = []
    for region, um2_per_cell in ground.unreadable if spec.labels else ():
        number = int(region.radius_x_um * region.radius_y_um / um2_per_cell)
        picks = rng.integers(0, len(spec.labels), _UNREADABLE_KINDS)
        cells += place_anywhere(rng, _plans(rng, tuple(spec.labels[i] for i in picks)), region, number)
    return cells
