"""Where nucleated cells lie: apart from each other, but for some pairs that touch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.errors import UserError
from marrow_models.phantom.cells import CellPlan
from marrow_models.phantom.regions import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GAP_UM = 1.5
_BATCH = 24
_ROUNDS = 60
# A cell's wavy outline reaches beyond its mean radius; regions keep clear of it by this much.
_CLEARANCE_UM = 6.0


@dataclass(frozen=True, slots=True)
class PlacedCell:
    """A planned cell with its centre."""

    plan: CellPlan
    x_um: float
    y_um: float
    readable: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """Rectangle in which centres may lie; ``inset_um`` is kept free inside it beyond a cell's radius."""

    left_um: float
    top_um: float
    right_um: float
    bottom_um: float
    whole_cells: bool = True
    """Cells lie inside with their whole outline; otherwise only their centres do."""

    def candidates(self, rng: np.random.Generator, radius_um: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Random centres for a cell of that radius."""
        inset = radius_um * 1.25 + 1.0 if self.whole_cells else 0.0
        if self.right_um - self.left_um <= 2 * inset or self.bottom_um - self.top_um <= 2 * inset:
            raise UserError("The smear is smaller than a cell; make the phantom larger.")
        return (
            rng.uniform(self.left_um + inset, self.right_um - inset, _BATCH),
            rng.uniform(self.top_um + inset, self.bottom_um - inset, _BATCH),
        )

    def holds(self, x_um: NDArray[np.float64], y_um: NDArray[np.float64], radius_um: float) -> NDArray[np.bool_]:
        """Which centres lie in the frame."""
        inset = radius_um * 1.25 + 1.0 if self.whole_cells else 0.0
        within_x = (x_um >= self.left_um + inset) & (x_um <= self.right_um - inset)
        within_y = (y_um >= self.top_um + inset) & (y_um <= self.bottom_um - inset)
        return np.asarray(within_x & within_y)


def place_apart(
    rng: np.random.Generator,
    plans: Sequence[CellPlan],
    frame: Frame,
    avoid: Sequence[Region],
    *,
    touching: float = 0.06,
    strict: bool = True,
) -> list[PlacedCell]:
    """Place cells so that none overlaps another; a part ``touching`` of them leans on a neighbour.

    Cells that find no room raise ``UserError`` when ``strict``, else they are left out.
    """
    xs, ys, radii = np.zeros(len(plans)), np.zeros(len(plans)), np.zeros(len(plans))
    placed: list[PlacedCell] = []
    for plan in plans:
        spot = _find_spot(rng, plan, frame, avoid, (xs, ys, radii), len(placed), touching)
        if spot is None:
            if strict:
                raise UserError("The smear has no room for so many cells; make it larger or ask for fewer.")
            continue
        xs[len(placed)], ys[len(placed)], radii[len(placed)] = *spot, plan.radius_um
        placed.append(PlacedCell(plan, *spot, readable=True))
    return placed


def place_anywhere(
    rng: np.random.Generator, plans: Sequence[CellPlan], region: Region, number: int
) -> list[PlacedCell]:
    """Place cells inside a region without regard to each other, repeating plans; none of them is readable."""
    placed = []
    for index in range(number):
        plan = plans[index % len(plans)]
        part, angle = 0.92 * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
        x = region.x_um + part * region.radius_x_um * math.cos(angle)
        y = region.y_um + part * region.radius_y_um * math.sin(angle)
        placed.append(PlacedCell(plan, x, y, readable=False))
    return placed


def _find_spot(
    rng: np.random.Generator,
    plan: CellPlan,
    frame: Frame,
    avoid: Sequence[Region],
    others: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    count: int,
    touching: float,
) -> tuple[float, float] | None:
    xs, ys, radii = (array[:count] for array in others)
    radius = plan.radius_um
    lean = count > 0 and rng.random() < touching
    for _ in range(_ROUNDS):
        neighbour = int(rng.integers(count)) if lean else -1
        if lean:
            angle = rng.uniform(0, 2 * math.pi, _BATCH)
            reach = (radius + radii[neighbour]) * rng.uniform(0.96, 1.04, _BATCH)
            x, y = xs[neighbour] + reach * np.cos(angle), ys[neighbour] + reach * np.sin(angle)
        else:
            x, y = frame.candidates(rng, radius)
        gap = np.hypot(x[:, None] - xs, y[:, None] - ys) - radii - radius
        if lean:
            gap[:, neighbour] = _GAP_UM
        free = (gap >= _GAP_UM).all(axis=1) & frame.holds(x, y, radius)
        for region in avoid:
            distance = region.distance_um(x.astype(np.float32), y.astype(np.float32))
            free &= distance > radius + _CLEARANCE_UM
        hits = np.flatnonzero(free)
        if len(hits):
            return float(x[hits[0]]), float(y[hits[0]])
        lean = lean and rng.random() < 0.5
    return None
