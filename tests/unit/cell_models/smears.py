"""Painted smears in two stains."""

import numpy as np

from marrow_models.training.stains import Stain

HERE = Stain(np.array([250.0, 232.0, 205.0]), np.array([0.28, 0.42, 0.25]), np.array([1.2, 1.9, 0.4]))
THERE = Stain(np.array([205.0, 208.0, 203.0]), np.array([0.15, 0.35, 0.3]), np.array([0.5, 0.6, 0.05]))


def smear(stain, side=96, seed=0, nuclei=True, red_cells=True):
    """Glass with round red cells and, on each fourth place, a nucleus; a little noise, as cameras have it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    density = np.zeros((side, side, 3))
    for number, (y, x) in enumerate((y, x) for y in range(12, side, 24) for x in range(12, side, 24)):
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= 64
        dye = stain.nucleus * nuclei if number % 4 == 0 else stain.red_cell * red_cells
        density[inside] = dye
    light = (stain.glass + 1) * np.exp(-density) - 1 + rng.normal(0, 0.7, density.shape)
    return light.round().clip(0, 254).astype(np.uint8)
