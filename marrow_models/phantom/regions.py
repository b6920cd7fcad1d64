"""Parts of a smear that are unlike the rest: a clot, a spot out of focus, bare glass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Product of a region's two radii per cell in it: cells lie over each other in a clot, apart in a blurred spot.
_CLOT_UM2, _BLURRED_UM2 = 60.0, 1100.0


@dataclass(frozen=True, slots=True)
class Region:
    """A wavy ellipse."""

    x_um: float
    y_um: float
    radius_x_um: float
    radius_y_um: float
    waves: tuple[tuple[int, float, float], ...] = ()
    """(waves around the edge, amplitude as a part of the radius, phase)."""

    def distance_um(self, x_um: NDArray[np.float32], y_um: NDArray[np.float32]) -> NDArray[np.float32]:
        """Approximate signed distance of points from the edge, negative inside; broadcasts x and y."""
        u, v = (x_um - self.x_um) / self.radius_x_um, (y_um - self.y_um) / self.radius_y_um
        edge = np.float32(1.0)
        if self.waves:
            angle = np.arctan2(v, u)
            edge = 1 + sum(amplitude * np.cos(count * angle + phase) for count, amplitude, phase in self.waves)
        distance = (np.hypot(u, v) - edge) * min(self.radius_x_um, self.radius_y_um)
        return np.asarray(distance, dtype=np.float32)

    def bounds_um(self, margin_um: float) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of a rectangle that holds the region and a margin."""
        reach = 1 + sum(amplitude for _, amplitude, _ in self.waves)
        dx, dy = self.radius_x_um * reach + margin_um, self.radius_y_um * reach + margin_um
        return self.x_um - dx, self.y_um - dy, self.x_um + dx, self.y_um + dy


def sample_region(
    rng: np.random.Generator, centre_um: tuple[float, float], radius_um: float, waviness: float = 0.06
) -> Region:
    """Draw a region of about that radius around a point."""
    stretch = math.exp(rng.normal(0, 0.15))
    waves = tuple((count, waviness * rng.uniform(0.4, 1.0), rng.uniform(0, 2 * math.pi)) for count in (2, 3, 5))
    return Region(centre_um[0], centre_um[1], radius_um * stretch, radius_um / stretch, waves)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a smear's area is like: readable everywhere but in these regions."""

    clots: tuple[Region, ...] = ()
    """Thick: cells lie over each other."""
    blurred: tuple[Region, ...] = ()
    """Out of focus."""
    glass: tuple[Region, ...] = ()
    """Nothing there."""

    @property
    def regions(self) -> tuple[Region, ...]:
        """All regions that hold no readable cell."""
        return self.clots + self.blurred + self.glass

    @property
    def unreadable(self) -> tuple[tuple[Region, float], ...]:
        """Regions that hold cells which cannot be read, and the product of the region's radii per cell, um2."""
        return tuple((region, _CLOT_UM2) for region in self.clots) + tuple(
            (region, _BLURRED_UM2) for region in self.blurred
        )
