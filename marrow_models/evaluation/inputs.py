"""Checks of what is to be judged: wrong arrays are refused with a sentence, never judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrow_models.errors import UserError

_LARGEST_ERROR = 1e-2
"""Probabilities of half precision add up to 1 within this."""


def checked_probabilities(values: ArrayLike, rows: int, classes: Sequence[str], what: str) -> NDArray[np.float64]:
    """Return the probabilities (N, K) in double precision, each row adding up to 1 exactly.

    UserError when the shape is another, a value is not a probability, or a row does not add up to 1 within 0.01.
    """
    given = np.asarray(values, np.float64)
    if given.shape != (rows, len(classes)):
        raise UserError(
            f"{what}: probabilities of shape {given.shape}, expected ({rows}, {len(classes)}): one row for each truth, "
            f"one column for each of {', '.join(classes)[:200]}."
        )
    if not np.isfinite(given).all() or (given < 0).any() or (given > 1 + _LARGEST_ERROR).any():
        raise UserError(f"{what}: some probabilities are not numbers from 0 to 1. Give those after the softmax.")
    sums = given.sum(axis=1, keepdims=True)
    if (abs(sums - 1) > _LARGEST_ERROR).any():
        worst = int(abs(sums - 1).argmax())
        raise UserError(f"{what}: row {worst} of the probabilities adds up to {float(sums[worst, 0]):.4g}, not 1.")
    return np.asarray(given / sums)


def checked_truth(values: ArrayLike, classes: Sequence[str], what: str, *, lowest: int = 0) -> NDArray[np.int64]:
    """Return the true classes (N,) as places in ``classes``; UserError when there is none or one is out of range."""
    given = np.asarray(values)
    if given.ndim != 1 or not given.size:
        raise UserError(f"{what}: the truth has shape {given.shape}, expected (N,) with N > 0: nothing to judge.")
    if not np.issubdtype(given.dtype, np.integer):
        raise UserError(f"{what}: the truth is of type {given.dtype}, expected whole numbers: places in the classes.")
    if given.min() < lowest or given.max() >= len(classes):
        raise UserError(
            f"{what}: the truth goes from {given.min()} to {given.max()}, expected {lowest} to {len(classes) - 1}, "
            f"a place in {', '.join(classes)[:200]}."
        )
    return given.astype(np.int64)


def checked_names(names: Sequence[str], what: str, *, fewest: int) -> tuple[str, ...]:
    """Return the names of classes; UserError when they are too few, empty or not different."""
    if len(names) < fewest or len(set(names)) != len(names) or not all(names):
        raise UserError(
            f"{what}: expected at least {fewest} different names, found {', '.join(names)[:200] or 'none'}."
        )
    return tuple(names)
