"""Figures of confusion matrices, many matrices at a time: what resampling needs and scikit-learn does not offer.

A matrix (K, K) counts cells by true (row) and given (column) class; stacks (..., K, K) give figures (...). The tests
hold every figure to scikit-learn's on the same cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rates:
    """Figures of each class, (..., K). NaN where a class does not define one (0/0)."""

    cells: Floats
    """True cells."""
    given: Floats
    """Cells that were given the class."""
    precision: Floats
    recall: Floats
    specificity: Floats
    f1: Floats


def rates(confusions: Floats) -> Rates:
    """Figures of each class."""
    right = np.diagonal(confusions, axis1=-2, axis2=-1)
    cells, given = confusions.sum(axis=-1), confusions.sum(axis=-2)
    others = cells.sum(axis=-1, keepdims=True) - cells
    return Rates(
        cells=cells,
        given=given,
        precision=ratio(right, given),
        recall=ratio(right, cells),
        specificity=ratio(others - (given - right), others),
        f1=ratio(2 * right, cells + given),
    )


def accuracy(confusions: Floats) -> Floats:
    """Share of the cells with the right class."""
    return ratio(np.trace(confusions, axis1=-2, axis2=-1), confusions.sum(axis=(-2, -1)))


def kappa(confusions: Floats) -> Floats:
    """Cohen's kappa, unweighted: agreement beyond that of chance with the same shares."""
    total = confusions.sum(axis=(-2, -1))
    by_chance = ratio((confusions.sum(axis=-1) * confusions.sum(axis=-2)).sum(axis=-1), total**2)
    return ratio(accuracy(confusions) - by_chance, 1 - by_chance)


def mean_over(values: Floats, counted: NDArray[np.bool_]) -> Floats:
    """Mean of ``values`` (..., K) over the classes that are ``counted``; NaN where none is."""
    return ratio(np.where(counted, values, 0).sum(axis=-1), counted.sum(axis=-1))


def filled(values: Floats, usual: Floats) -> Floats:
    """``values`` (..., K), and where a draw does not define one, the ``usual`` one (K,) of all cells.

    So a mean over classes is over the same ones in every draw: a rare class that falls out does not move it.
    """
    return np.where(np.isfinite(values), values, usual)


def ratio(part: Floats, whole: Floats | NDArray[np.int64]) -> Floats:
    """``part / whole``, NaN where ``whole`` is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0))


class GroupedCells:
    """The cells of each group by true and given class, to be added up for any number of draws of groups."""

    def __init__(
        self,
        truth: NDArray[np.int64],
        given: NDArray[np.int64],
        classes: int,
        groups: NDArray[np.int64],
        group_count: int,
    ) -> None:
        self._classes = classes
        codes = truth * classes + given
        self._cells = csr_array((np.ones(len(codes)), (groups, codes)), shape=(group_count, classes**2)).T.tocsr()

    def confusions(self, draws: Floats) -> Floats:
        """Return the confusion matrices (B, K, K) of draws (B, G)."""
        return np.asarray((self._cells @ draws.T).T).reshape(len(draws), self._classes, self._classes)
