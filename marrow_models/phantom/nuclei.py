"""Outlines of nuclei. Every nucleus is a chain of discs along an arc.

The stages of the granulocytic series differ by how long, bent and constricted that chain is: a
myelocyte's nucleus is a short straight chain (an oval), a metamyelocyte's a kidney, a band a
horseshoe, and a segmented neutrophil's a chain with filaments between its lobes. One geometry thus
covers them all, and the traits of neighbouring stages overlap as they do in patients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.phantom.morphology import Nucleus

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Discs this close make a smooth outline.
_POINTS_PER_LOBE, _POINTS_PER_WIDTH = 7, 5
# Distance of neighbouring lobes over their width.
_LOBE_SPACING = 1.4
# How suddenly a lobe narrows: below 1 its discs would hide the filament.
_WAIST = 1.6


@cache
def _steps(points: int) -> NDArray[np.float64]:
    return np.linspace(0.0, 1.0, points)


@dataclass(frozen=True, slots=True)
class Chain:
    """Discs whose union is a nucleus, micrometres from the cell's centre."""

    x_um: NDArray[np.float32]
    y_um: NDArray[np.float32]
    radius_um: NDArray[np.float32]

    @property
    def reach_um(self) -> float:
        """Distance from the cell's centre to the farthest point of the nucleus."""
        return float((np.hypot(self.x_um, self.y_um) + self.radius_um).max())

    @property
    def width_um(self) -> float:
        """Width at the widest place."""
        return 2 * float(self.radius_um.max())

    def distance_um(self, x_um: NDArray[np.float32], y_um: NDArray[np.float32]) -> NDArray[np.float32]:
        """Signed distance from the outline, negative inside, for columns (1, w) and rows (h, 1): shape (h, w)."""
        dx = x_um[None] - self.x_um[:, None, None]
        dy = y_um[None] - self.y_um[:, None, None]
        distance = dx * dx + dy * dy
        np.sqrt(distance, out=distance)
        distance -= self.radius_um[:, None, None]
        return np.asarray(distance.min(axis=0), dtype=np.float32)

    def moved(self, dx_um: float, dy_um: float, scale: float = 1.0) -> Chain:
        """Return the chain scaled about the origin, then shifted."""
        return Chain(
            self.x_um * np.float32(scale) + np.float32(dx_um),
            self.y_um * np.float32(scale) + np.float32(dy_um),
            self.radius_um * np.float32(scale),
        )


def sample_chain(rng: np.random.Generator, nucleus: Nucleus, area_um2: float, cell_radius_um: float) -> Chain:
    """Draw a nucleus of about ``area_um2`` that lies inside a cell of ``cell_radius_um``."""
    lobes = nucleus.lobes.sample(rng)
    slenderness = max(0.0, nucleus.slenderness.sample(rng))
    constriction = min(0.95, max(0.0, nucleus.constriction.sample(rng)))
    if lobes > 1:  # each lobe needs its length, or neighbours would merge
        slenderness = max(slenderness, _LOBE_SPACING * (lobes - 1))
    points = max(3, _POINTS_PER_LOBE * (lobes - 1) + 1, math.ceil(_POINTS_PER_WIDTH * slenderness) + 1)
    t = _steps(points)
    # Bands (one lobe) may still narrow in the middle: one constriction.
    profile = np.abs(np.cos(np.pi * max(1, lobes - 1) * t)) ** _WAIST if constriction else np.ones_like(t)
    relative_radius = 1 - constriction * (1 - profile)
    width = math.sqrt(area_um2 / (slenderness * float(relative_radius.mean()) + math.pi / 4))
    x, y = _centre_line(slenderness * width, math.radians(max(0.0, nucleus.span_deg.sample(rng))), t)
    if lobes > 1:
        x, y = _scattered(rng, x, y, width, lobes)
    angle = rng.random() * 2 * math.pi
    cos, sin = math.cos(angle), math.sin(angle)
    chain = Chain(
        np.asarray(cos * x - sin * y, np.float32),
        np.asarray(sin * x + cos * y, np.float32),
        np.asarray(relative_radius * width / 2, np.float32),
    )
    return _placed(rng, chain, nucleus, cell_radius_um)


def _centre_line(
    length_um: float, span_rad: float, t: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points along an arc of that length and bend, their bounding box centred on the origin."""
    if span_rad < 0.05:
        return (t - 0.5) * length_um, np.zeros_like(t)
    radius = length_um / span_rad
    angle = (t - 0.5) * span_rad
    x, y = radius * np.sin(angle), radius * np.cos(angle)
    return x, y - (y.max() + y.min()) / 2


def _scattered(
    rng: np.random.Generator, x: NDArray[np.float64], y: NDArray[np.float64], width_um: float, lobes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lobes moved off the arc, filaments following them."""
    t = np.linspace(0, lobes - 1, len(x))
    knots = np.arange(lobes)
    shifts = rng.normal(0, 0.16 * width_um, (2, lobes))
    return x + np.interp(t, knots, shifts[0]), y + np.interp(t, knots, shifts[1])


def _placed(rng: np.random.Generator, chain: Chain, nucleus: Nucleus, cell_radius_um: float) -> Chain:
    """Return the chain shrunk if it would not fit, and moved off centre by the nucleus's eccentricity."""
    chain = chain.moved(0, 0, min(1.0, 0.94 * cell_radius_um / chain.reach_um))
    room = max(0.0, 0.95 * cell_radius_um - chain.reach_um)
    shift = room * min(1.0, max(0.0, nucleus.eccentricity.sample(rng)))
    angle = rng.random() * 2 * math.pi
    return chain.moved(shift * math.cos(angle), shift * math.sin(angle))
