"""Bootstrap intervals over patients, where patients are known, else over pictures or cells.

Cells of one patient resemble each other, so whole patients are drawn with replacement (Field and Welsh 2007, the
cluster bootstrap) and the interval is that of the percentiles (Efron and Tibshirani 1993, chapter 13). Two limits: what
is perfect in the data is perfect in every resample, so its interval has no width; and with fewer than about twenty
patients an interval is too narrow.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

from marrow_models.errors import UserError

RESAMPLES = 1000
CONFIDENCE = 0.95
_LARGEST_BATCH = 500_000
"""Numbers held at a time, for each array of a batch of resamples."""

Statistic = Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]
"""How often each group was drawn (B, G) -> figures (B,) by name; NaN where a resample does not define one."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval. NaN: not defined by the data."""

    value: float
    low: float = nan
    high: float = nan


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the intervals were made."""

    unit: str
    """What is drawn: ``patient``, ``picture``, ``cell`` or, where only some patients are known, both."""
    units: int
    resamples: int
    seed: int


@dataclass(frozen=True, slots=True)
class Groups:
    """The group that each of N rows is drawn with."""

    index: NDArray[np.int64]
    """(N,)"""
    count: int
    unit: str


def grouped(patients: Sequence[str | None] | None, rows: int, unit: str) -> Groups:
    """Group ``rows`` rows by patient; a row without one is a group of its own, called ``unit``.

    The order of the rows does not change which patients a seed draws. UserError when the lengths differ.
    """
    if patients is None:
        return Groups(np.arange(rows, dtype=np.int64), rows, unit)
    if len(patients) != rows:
        raise UserError(f"{len(patients)} patients for {rows} rows. Give the patient, or None, of each {unit}.")
    place = {name: index for index, name in enumerate(sorted({name for name in patients if name is not None}))}
    known, index = len(place), np.empty(rows, np.int64)
    alone = 0
    for row, name in enumerate(patients):
        index[row] = known + alone if name is None else place[name]
        alone += name is None
    called = "patient" if not alone else unit if not known else f"patient, or {unit} where the patient is unknown"
    return Groups(index, known + alone, called)


def with_intervals(
    values: Mapping[str, float],
    statistic: Statistic,
    groups: Groups,
    *,
    width: int,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """Return each of ``values`` with the 95 % interval of what ``statistic`` gives under the same name.

    ``width`` is the most numbers that ``statistic`` holds for one resample; it bounds the memory. Resamples that do not
    define a figure are left out of its interval. No interval for a single group: nothing varies there.
    """
    if groups.count < 2 or resamples < 1:
        return {name: Estimate(float(value)) for name, value in values.items()}

    def drawn(index: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
        rows = index.reshape(-1, groups.count)
        flat = (rows + groups.count * np.arange(len(rows))[:, None]).ravel()
        counts = np.bincount(flat, minlength=rows.size).reshape(rows.shape)
        figures = statistic(counts.astype(np.float64))
        return np.stack([figures[name] for name in values]).reshape(len(values), *index.shape[:-1])

    with warnings.catch_warnings():
        # SciPy warns of figures that a resample does not define; those are left out below.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        result = bootstrap(
            (np.arange(groups.count),),
            drawn,
            n_resamples=resamples,
            batch=max(1, _LARGEST_BATCH // max(groups.count, width)),
            vectorized=True,
            axis=-1,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    rows = np.asarray(result.bootstrap_distribution).reshape(len(values), -1)
    return {name: _estimate(value, row) for (name, value), row in zip(values.items(), rows, strict=True)}


def _estimate(value: float, resampled: NDArray[np.float64]) -> Estimate:
    defined = resampled[np.isfinite(resampled)]
    if not len(defined):
        return Estimate(float(value))
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(value), float(low), float(high))
