"""The area under the ROC curve for many draws of the same cells, sorted once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marrow_models.evaluation.confusions import ratio


class RankedScores:
    """Scores (N,) of one class and which cells are of it."""

    def __init__(self, scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> None:
        self._order = np.argsort(scores, kind="stable")
        ranked = scores[self._order]
        self._runs = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        self._positive = positive[self._order].astype(np.float64)

    def auc(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the area (B,) for weights (B, N): how often each cell was drawn. NaN where one side is empty.

        It is the share of pairs of a cell of the class and another in which the former has the higher score, equal
        scores counting half (Hanley and McNeil 1982).
        """
        drawn = weights[:, self._order]
        inside = np.add.reduceat(drawn * self._positive, self._runs, axis=1)
        outside = np.add.reduceat(drawn * (1 - self._positive), self._runs, axis=1)
        below = np.cumsum(outside, axis=1) - outside / 2
        return ratio((inside * below).sum(axis=1), inside.sum(axis=1) * outside.sum(axis=1))
