"""How strongly and in which hue a slide took the stain: slides differ, cells of one slide agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Stain:
    """A slide's stain: optical densities are mixed by ``mixing`` (3, 3); bare glass has the colour ``glass``."""

    mixing: NDArray[np.float32]
    glass: NDArray[np.float32]
    """Red, green, blue of the light through glass and plasma, 0 to 255."""
    red_cell: NDArray[np.float32]
    """Colour of the thick rim of a red cell, 0 to 255."""

    def applied(self, colours: NDArray[np.float32]) -> NDArray[np.float32]:
        """Colours (..., 3) as this slide shows them (Beer-Lambert: densities add, light multiplies)."""
        density = -np.log(np.maximum(colours, 1.0) / 255.0)
        return np.asarray(255.0 * np.exp(-(density @ self.mixing.T)), dtype=np.float32)


def sample_stain(rng: np.random.Generator, variation: float = 1.0) -> Stain:
    """Draw a slide's stain; ``variation`` 0 is the reference stain, 1 what differs between slides of one laboratory."""
    strength = 1 + variation * rng.normal(0, 0.05)
    channels = 1 + variation * rng.normal(0, 0.03, 3)
    crosstalk = variation * rng.normal(0, 0.015, (3, 3))
    mixing = strength * (np.diag(channels) + crosstalk * (1 - np.eye(3)))
    glass = np.array([236.0, 232.0, 240.0]) + variation * (rng.normal(0, 4) + rng.normal(0, 2.5, 3))
    red_cell = np.array([208.0, 188.0, 190.0]) + variation * (rng.normal(0, 5) + rng.normal(0, 3, 3))
    return Stain(
        mixing.astype(np.float32),
        np.clip(glass, 205, 250).astype(np.float32),
        np.clip(red_cell, 160, 225).astype(np.float32),
    )
