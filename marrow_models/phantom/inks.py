"""Mixing a cell's colours: planes say how much of each ink a pixel holds, one matrix product makes the picture."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Ink(IntEnum):
    """What a pixel of a cell can consist of."""

    CYTOPLASM = 0
    PALE = 1
    """Golgi zone and vacuoles."""
    CHROMATIN = 2
    NUCLEOLUS = 3
    GRANULE = 4
    ROD = 5


class InkPlanes:
    """Amounts of ink, shape (inks, height, width), starting as plain cytoplasm."""

    def __init__(self, height: int, width: int) -> None:
        self.amounts = np.zeros((len(Ink), height, width), np.float32)
        self.amounts[Ink.CYTOPLASM] = 1
        self._top = 1

    def lay(self, ink: Ink, cover: NDArray[np.float32]) -> None:
        """Cover what is there with an ink; ``cover`` (height, width) is 0 for not at all, 1 for fully."""
        self.amounts[: self._top] *= 1 - cover
        self.amounts[ink] += cover
        self._top = max(self._top, ink + 1)

    def shade(self, ink: Ink, factor: NDArray[np.float32]) -> None:
        """Multiply the amount of an ink: below 1 is darker, above 1 lighter."""
        self.amounts[ink] *= factor

    def colours(self, palette: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mix the picture (height, width, 3), multiplied by ``alpha``; ``palette`` is (inks, 3)."""
        _, height, width = self.amounts.shape
        used = self.amounts[: self._top] * alpha
        mixed = used.reshape(self._top, -1).T @ palette[: self._top]
        return np.asarray(np.maximum(mixed, 0, out=mixed).reshape(height, width, 3), dtype=np.float32)
