"""The same cells in the stains, lamps and cameras of other laboratories.

A stain is described by three colours that every smear shows: glass, red cells and nuclei. Light that dyes absorb
follows the law of Beer and Lambert, so the optical densities of one stain become those of another by the linear map
that takes its red cells to the other's red cells and its nuclei to the other's nuclei: colour deconvolution (Ruifrok
and Johnston 2001) with dyes measured on each picture, as Macenko et al. 2009 (doi:10.1109/ISBI.2009.5193250) do. That
other laboratories' colours, laid over one's own cells, teach a network to read their smears: Tellez et al. 2019
(doi:10.1016/j.media.2019.101544), Shen et al. 2022 (arXiv:2206.12694).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GLASS_SHARE = 0.15
"""Of a smear's pixels, at least, are glass: the brightest in green light, which all dyes absorb."""
STAINED = 0.05
"""Optical density in green light from which a pixel is no glass."""
LEAST_NUCLEUS = 0.25
"""Optical density in red light that the darkest pixels of a picture with a nucleus have at least."""
NUCLEUS_SHARE, RED_CELL_SHARE = 0.6, 0.45
"""Of that density: from the first on a pixel is nucleus, up to the second it is a red cell."""
LEAST_PIXELS = 64
"""By which a colour is measured."""
LEAST_ANGLE = 0.1
"""Between red cells and nuclei, in radians; below, the picture is of one colour."""
_DARK = 0.995


@dataclass(frozen=True, slots=True)
class Stain:
    """What a smear's colours are made of."""

    glass: NDArray[np.float64]
    """(3,) RGB, 0 to 255."""
    red_cell: NDArray[np.float64]
    """(3,) optical density in red, green and blue light, as what follows."""
    nucleus: NDArray[np.float64]

    @property
    def dyes(self) -> NDArray[np.float64]:
        """(3, 3): in columns red cell, nucleus, and what neither explains."""
        rest = np.cross(self.red_cell, self.nucleus)
        size = np.sqrt(np.linalg.norm(self.red_cell) * np.linalg.norm(self.nucleus))
        return np.stack([self.red_cell, self.nucleus, rest / np.linalg.norm(rest) * size], axis=1)


def stain_of(pixels: NDArray[np.uint8]) -> Stain | None:
    """The stain of ``pixels`` (..., 3), or None where glass, red cells or a nucleus cannot be told from each other."""
    flat = pixels.reshape(-1, 3)
    flat = flat[(flat < 255).any(axis=1)]  # pure white is no glass of a camera, but what lies around a picture
    if len(flat) < LEAST_PIXELS:
        return None
    bright = flat[flat[:, 1] >= np.quantile(flat[:, 1], 1 - GLASS_SHARE)]
    glass = np.median(bright, axis=0)
    density = densities(flat, glass)
    darkest = np.quantile(density[:, 0], _DARK)
    if darkest < LEAST_NUCLEUS:
        return None
    nuclei = density[density[:, 0] >= NUCLEUS_SHARE * darkest]
    red_cells = density[(density[:, 0] <= RED_CELL_SHARE * darkest) & (density[:, 1] >= STAINED)]
    if min(len(nuclei), len(red_cells)) < LEAST_PIXELS:
        return None
    # The denser half: thin edges and pale middles of cells are mixed with glass.
    red_cells = red_cells[red_cells[:, 1] >= np.median(red_cells[:, 1])]
    stain = Stain(glass, np.median(red_cells, axis=0), np.median(nuclei, axis=0))
    return stain if _angle(stain.red_cell, stain.nucleus) >= LEAST_ANGLE else None


def densities(pixels: NDArray[np.uint8], glass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Optical densities of ``pixels`` (..., 3) over ``glass``, natural logarithm; glass and brighter: 0."""
    return np.asarray(np.maximum(0.0, np.log(glass + 1) - np.log(pixels + 1.0)), np.float64)


def stains_of(pictures: Iterable[NDArray[np.uint8]]) -> tuple[Stain, ...]:
    """The stains of those pictures that show one."""
    return tuple(stain for stain in map(stain_of, pictures) if stain is not None)


@dataclass(frozen=True, slots=True)
class OtherStains:
    """Shows cells of one stain in others."""

    others: Sequence[Stain]
    share: float
    """Of the views that are shown in another stain."""
    way: tuple[float, float] = (0.2, 1.0)
    """Least and largest part of the way to the other stain; each view goes its own."""
    log_amount: float = 0.1
    """Standard deviation of the amount of each dye: no two smears of a laboratory are alike."""

    def __call__(self, images: Tensor, own: Sequence[Stain | None], rng: np.random.Generator) -> Tensor:
        """Views of ``images`` (N, 3, H, W), each as it is or on its way to a stain of ``others``.

        ``own`` has the stain of each image; one whose stain is not known stays as it is.
        """
        drawn = np.flatnonzero(rng.uniform(size=len(images)) < self.share).tolist()
        known = [(i, stain) for i in drawn if (stain := own[i]) is not None]
        if not known or not self.others:
            return images
        to = [self.others[int(i)] for i in rng.integers(len(self.others), size=len(known))]
        way = rng.uniform(*self.way, len(known))[:, None, None]
        dyes = np.stack([stain.dyes for _, stain in known])
        glass = np.stack([stain.glass for _, stain in known])
        other_dyes = dyes + way * (np.stack([stain.dyes for stain in to]) - dyes)
        other_dyes *= np.exp(rng.normal(0, self.log_amount, (len(known), 1, 3)))
        other_glass = glass + way[:, 0] * (np.stack([stain.glass for stain in to]) - glass)
        where = torch.tensor([i for i, _ in known], device=images.device)
        with torch.autocast(images.device.type, enabled=False):
            shown = _restained(
                images[where],
                torch.from_numpy(glass).to(images),
                torch.from_numpy(other_dyes @ np.linalg.inv(dyes)).to(images),
                torch.from_numpy(other_glass).to(images),
            )
        return images.index_copy(0, where, shown)


def _restained(images: Tensor, glass: Tensor, turn: Tensor, new_glass: Tensor) -> Tensor:
    """(N, 3, H, W) of ``glass`` (N, 3), densities mapped by ``turn`` (N, 3, 3), over ``new_glass`` (N, 3)."""
    density = (torch.log(glass + 1)[:, :, None, None] - torch.log(images + 1)).flatten(2)
    light = torch.exp(-(turn @ density)).view_as(images) * (new_glass + 1)[:, :, None, None] - 1
    return light.round().clamp(0, 255)


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-12), -1, 1)))
