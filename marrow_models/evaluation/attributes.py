"""How well the morphology of cells is read, attribute by attribute, as WBCAtt and LeukemiaAttri state it.

WBCAtt (Tsutsui et al. 2023, arXiv:2306.13531) gives accuracy and macro F1 of each attribute and their means over the
attributes. LeukemiaAttri (Rehman et al. 2024, arXiv:2405.10803) gives precision, recall and F1 of the second of two
values (irregular, prominent, abundant ...) and the mean of that F1. Both are here; they are not the same figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from marrow_models.errors import UserError
from marrow_models.evaluation.confusions import GroupedCells, Rates, accuracy, filled, mean_over, rates
from marrow_models.evaluation.inputs import checked_probabilities, checked_truth
from marrow_models.evaluation.resampling import (
    RESAMPLES,
    Estimate,
    Groups,
    Sampling,
    Statistic,
    grouped,
    with_intervals,
)

if TYPE_CHECKING:
    from marrow_models.datasets.records import AttributeSchema

MISSING = -1
"""In place of a value: the attribute is not known, or to be ignored, in this cell."""
_NAMES = ("accuracy", "macro_f1", "second_f1")


@dataclass(frozen=True, slots=True)
class ValueRow:
    """Figures of one value of an attribute against its other values. NaN where the cells do not define one."""

    value: str
    cells: int
    """True cells."""
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class AttributeRow:
    """Figures of one attribute over the cells that have it. NaN where no cell does."""

    attribute: str
    cells: int
    accuracy: Estimate
    macro_precision: float
    macro_recall: float
    macro_f1: Estimate
    """Mean over the values that are true of a cell or given to one, as WBCAtt's authors compute it."""
    second_f1: Estimate
    """F1 of the second of two values, as LeukemiaAttri's authors compute it; NaN for more values."""
    values: tuple[ValueRow, ...]
    """In the order of the schema."""


@dataclass(frozen=True, slots=True)
class AttributeFigures:
    """Figures of all attributes. Means are over the attributes that at least one cell has."""

    schema: str
    cells: int
    """Cells with at least one attribute."""
    sampling: Sampling
    mean_accuracy: Estimate
    mean_macro_f1: Estimate
    mean_second_f1: Estimate
    """Over the attributes with two values."""
    attributes: tuple[AttributeRow, ...]
    """In the order of the schema."""


@dataclass(frozen=True, slots=True)
class _Read:
    """One attribute over the cells that have it."""

    name: str
    values: tuple[str, ...]
    rows: NDArray[np.int64]
    truth: NDArray[np.int64]
    given: NDArray[np.int64]


def attribute_figures(
    truth: ArrayLike,
    probabilities: Sequence[ArrayLike],
    schema: AttributeSchema,
    *,
    groups: Sequence[str | None] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    complete_only: bool = False,
) -> AttributeFigures:
    """Judge ``probabilities``, (N, values) for each attribute, against ``truth`` (N, A), places in the schema's values.

    ``truth`` is -1 where a cell lacks an attribute; each attribute is judged on the cells that have it.
    ``complete_only`` leaves out every cell that lacks any, as LeukemiaAttri's authors do. ``groups`` are the patients.
    UserError when the arrays do not fit the schema or no cell is left.
    """
    known, has = _known(truth, len(probabilities), schema, complete_only)
    drawn = grouped(groups, len(known), "cell")
    read = [
        _read(name, values, known[:, place], probabilities[place], has[:, place])
        for place, (name, values) in enumerate(schema.values.items())
    ]
    usual = _figures(read)
    figures = with_intervals(
        usual,
        _statistic(read, drawn, usual),
        drawn,
        width=max(drawn.count, *(len(one.values) ** 2 for one in read)),
        seed=seed,
        resamples=resamples,
    )
    return AttributeFigures(
        schema.name,
        int(has.any(axis=1).sum()),
        Sampling(drawn.unit, drawn.count, resamples, seed),
        figures["mean accuracy"],
        figures["mean macro_f1"],
        figures["mean second_f1"],
        attributes=tuple(_row(one, figures) for one in read),
    )


def _known(
    truth: ArrayLike, given: int, schema: AttributeSchema, complete_only: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The truth (N, A), and where it counts."""
    known = np.asarray(truth)
    size = len(schema.values)
    if known.ndim != 2 or known.shape[1] != size or given != size:
        raise UserError(
            f"attributes: a truth of shape {known.shape} and {given} arrays of probabilities, expected (N, {size}) "
            f"and {size}: one for each attribute of {schema.name}."
        )
    has = known != MISSING
    if complete_only:
        has &= has.all(axis=1, keepdims=True)
    if not has.any():
        raise UserError(f"attributes: no cell has an attribute of {schema.name} to judge. Check the annotations.")
    return known, has


def _read(
    name: str, values: tuple[str, ...], truth: NDArray[np.int64], probabilities: ArrayLike, has: NDArray[np.bool_]
) -> _Read:
    what = f"attribute {name}"
    true = checked_truth(truth, values, what, lowest=MISSING)
    scores = checked_probabilities(probabilities, len(true), values, what)
    rows = np.flatnonzero(has)
    return _Read(name, values, rows, true[rows], scores[rows].argmax(axis=1))


def _figures(read: Sequence[_Read]) -> dict[str, float]:
    """The three means, then the three figures of each attribute with its name."""
    figures: dict[str, float] = {}
    for one in read:
        right = macro = second = np.nan
        if len(one.rows):
            right = accuracy_score(one.truth, one.given)
            macro = f1_score(one.truth, one.given, average="macro", zero_division=0.0)
        if len(one.values) == 2 and (one.truth.any() or one.given.any()):
            second = f1_score(one.truth, one.given, average="binary", zero_division=0.0)
        figures |= {f"{one.name} accuracy": right, f"{one.name} macro_f1": macro, f"{one.name} second_f1": second}
    for name in _NAMES:
        values = np.asarray([figures[f"{one.name} {name}"] for one in read])
        figures[f"mean {name}"] = float(mean_over(values, np.isfinite(values)))
    return figures


def _statistic(read: Sequence[_Read], groups: Groups, usual: Mapping[str, float]) -> Statistic:
    """The same figures of draws of the groups; a value or attribute that a draw lacks keeps its figure in the means."""
    f1_of_all = [_rates(one).f1 for one in read]
    cells = [GroupedCells(one.truth, one.given, len(one.values), groups.index[one.rows], groups.count) for one in read]

    def statistic(draws: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        figures: dict[str, NDArray[np.float64]] = {}
        for one, counted, all_f1 in zip(read, cells, f1_of_all, strict=True):
            confusions = counted.confusions(draws)
            f1 = rates(confusions).f1
            figures[f"{one.name} accuracy"] = accuracy(confusions)
            figures[f"{one.name} macro_f1"] = mean_over(filled(f1, all_f1), np.isfinite(all_f1))
            figures[f"{one.name} second_f1"] = f1[:, 1] if len(one.values) == 2 else np.full(len(draws), np.nan)
        for name in _NAMES:
            values = np.stack([figures[f"{one.name} {name}"] for one in read], axis=-1)
            of_all = np.asarray([usual[f"{one.name} {name}"] for one in read])
            figures[f"mean {name}"] = mean_over(filled(values, of_all), np.isfinite(of_all))
        return figures

    return statistic


def _row(one: _Read, figures: Mapping[str, Estimate]) -> AttributeRow:
    each = _rates(one)
    used = (each.cells + each.given) > 0
    return AttributeRow(
        one.name,
        len(one.rows),
        accuracy=figures[f"{one.name} accuracy"],
        macro_precision=float(mean_over(np.nan_to_num(each.precision), used)),
        macro_recall=float(mean_over(np.nan_to_num(each.recall), used)),
        macro_f1=figures[f"{one.name} macro_f1"],
        second_f1=figures[f"{one.name} second_f1"],
        values=tuple(
            ValueRow(value, int(each.cells[k]), float(each.precision[k]), float(each.recall[k]), float(each.f1[k]))
            for k, value in enumerate(one.values)
        ),
    )


def _rates(one: _Read) -> Rates:
    size = len(one.values)
    if not len(one.rows):
        return rates(np.zeros((size, size)))
    return rates(confusion_matrix(one.truth, one.given, labels=range(size)).astype(np.float64))
