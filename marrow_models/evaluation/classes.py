"""How well cells are told apart: the figures that papers on blood and marrow cells state, with intervals by patient.

Figures are scikit-learn's, the calibration error is torchmetrics'. Averages are over the classes that are in the truth:
a class that nobody could have found neither helps nor harms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)
from torchmetrics.functional.classification import multiclass_calibration_error

from marrow_models.evaluation.confusions import GroupedCells, accuracy, filled, kappa, mean_over, rates, ratio
from marrow_models.evaluation.inputs import checked_names, checked_probabilities, checked_truth
from marrow_models.evaluation.ranks import RankedScores
from marrow_models.evaluation.resampling import (
    RESAMPLES,
    Estimate,
    Groups,
    Sampling,
    Statistic,
    grouped,
    with_intervals,
)

CURVE = {"curve": True}
"""Marks what a plot needs and a table does not."""
CALIBRATION_BINS = 15
_CURVE_POINTS = 200
_OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "auc", "kappa")


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Figures of one class against the rest. NaN where the cells do not define one."""

    label: str
    cells: int
    """True cells."""
    precision: float
    recall: float
    specificity: float
    f1: Estimate
    auc: Estimate
    """Area under the ROC curve of the class's probability."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve, both (P,)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence and what came of it, in equal bins from 0 to 1; NaN in a bin without cells."""

    confidence: NDArray[np.float64]
    """(B,) mean probability of the given class."""
    accuracy: NDArray[np.float64]
    """(B,) share of these cells with the right class."""
    cells: NDArray[np.int64]
    """(B,)"""


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Figures of a classifier on a set of cells."""

    labels: tuple[str, ...]
    cells: int
    sampling: Sampling
    accuracy: Estimate
    balanced_accuracy: Estimate
    """Mean recall."""
    macro_f1: Estimate
    weighted_f1: Estimate
    """Mean F1, each class as often as it is in the truth."""
    auc: Estimate
    """Mean over the classes of the area under the ROC curve, each class against the rest."""
    kappa: Estimate
    """Cohen's, unweighted."""
    calibration_error: float
    """Expected calibration error of the given class, 15 bins (Guo et al. 2017). No interval: resampling inflates it."""
    classes: tuple[ClassRow, ...]
    """In the order of ``labels``."""
    confusion: NDArray[np.int64]
    """(K, K) cells by true (row) and given (column) class."""
    roc: tuple[Curve | None, ...] = field(metadata=CURVE)
    """False against true positive rate of each class; None where the truth has no such cell, or no other."""
    reliability: Reliability = field(metadata=CURVE)


def class_figures(
    truth: ArrayLike,
    probabilities: ArrayLike,
    labels: Sequence[str],
    *,
    groups: Sequence[str | None] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    unit: str = "cell",
) -> ClassFigures:
    """Judge ``probabilities`` (N, K) against ``truth`` (N,), places in ``labels``.

    ``groups`` are the patients; a cell without one is drawn alone (called ``unit``). UserError when the arrays do not
    fit. The class given to a cell is its most probable one, the first of equals.
    """
    names = checked_names(labels, "classes", fewest=2)
    true = checked_truth(truth, names, "classes")
    scores = checked_probabilities(probabilities, len(true), names, "classes")
    given = scores.argmax(axis=1)
    drawn = grouped(groups, len(true), unit)
    usual = _figures(true, given, scores)
    figures = with_intervals(
        usual,
        _statistic(true, given, scores, drawn, usual),
        drawn,
        width=max(len(true), len(names) ** 2),
        seed=seed,
        resamples=resamples,
    )
    confusion = confusion_matrix(true, given, labels=range(len(names))).astype(np.int64)
    return ClassFigures(
        names,
        len(true),
        Sampling(drawn.unit, drawn.count, resamples, seed),
        **{name: figures[name] for name in _OVERALL},
        calibration_error=_calibration_error(true, scores),
        classes=_rows(names, confusion, figures),
        confusion=confusion,
        roc=tuple(_roc(true == k, scores[:, k]) for k in range(len(names))),
        reliability=_reliability(true, scores),
    )


def _figures(true: NDArray[np.int64], given: NDArray[np.int64], scores: NDArray[np.float64]) -> dict[str, float]:
    """The six overall figures, then F1 and AUC of each class with its number."""
    size = scores.shape[1]
    count = np.bincount(true, minlength=size)
    shared = {"labels": np.flatnonzero(count), "zero_division": 0.0}
    f1 = f1_score(true, given, labels=range(size), average=None, zero_division=0.0)
    auc = [roc_auc_score(true == k, scores[:, k]) if 0 < count[k] < len(true) else np.nan for k in range(size)]
    overall = (
        accuracy_score(true, given),
        recall_score(true, given, average="macro", **shared),
        f1_score(true, given, average="macro", **shared),
        f1_score(true, given, average="weighted", **shared),
        np.nanmean(auc) if np.isfinite(auc).any() else np.nan,
        # Undefined where only one class is in the truth and in what was given.
        cohen_kappa_score(true, given, labels=range(size)) if len(np.union1d(true, given)) > 1 else np.nan,
    )
    return {
        **dict(zip(_OVERALL, map(float, overall), strict=True)),
        **{f"f1 {k}": float(f1[k]) if count[k] else np.nan for k in range(size)},
        **{f"auc {k}": float(auc[k]) for k in range(size)},
    }


def _statistic(
    true: NDArray[np.int64],
    given: NDArray[np.int64],
    scores: NDArray[np.float64],
    groups: Groups,
    usual: Mapping[str, float],
) -> Statistic:
    """The same figures of draws of the groups; a class that a draw lacks keeps its figure in the means."""
    size = scores.shape[1]
    recall = recall_score(true, given, labels=range(size), average=None, zero_division=0.0)
    f1_of_all, auc_of_all = (np.asarray([usual[f"{name} {k}"] for k in range(size)]) for name in ("f1", "auc"))
    present = np.bincount(true, minlength=size) > 0
    cells = GroupedCells(true, given, size, groups.index, groups.count)
    ranks = [RankedScores(scores[:, k], true == k) for k in range(size)]

    def statistic(draws: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        confusions = cells.confusions(draws)
        each, there = rates(confusions), confusions.sum(axis=-1) > 0
        weights = draws[:, groups.index]
        auc = np.stack([rank.auc(weights) for rank in ranks], axis=-1)
        f1 = np.where(there, each.f1, np.nan)
        overall = (
            accuracy(confusions),
            mean_over(filled(each.recall, recall), present),
            mean_over(filled(f1, f1_of_all), present),
            ratio(np.where(there, f1 * each.cells, 0).sum(axis=-1), each.cells.sum(axis=-1)),
            mean_over(filled(auc, auc_of_all), np.isfinite(auc_of_all)),
            kappa(confusions),
        )
        return {
            **dict(zip(_OVERALL, overall, strict=True)),
            **{f"f1 {k}": f1[:, k] for k in range(size)},
            **{f"auc {k}": auc[:, k] for k in range(size)},
        }

    return statistic


def _rows(
    names: tuple[str, ...], confusion: NDArray[np.int64], figures: Mapping[str, Estimate]
) -> tuple[ClassRow, ...]:
    each = rates(confusion.astype(np.float64))
    return tuple(
        ClassRow(
            name,
            int(each.cells[k]),
            float(each.precision[k]),
            float(each.recall[k]),
            float(each.specificity[k]),
            f1=figures[f"f1 {k}"],
            auc=figures[f"auc {k}"],
        )
        for k, name in enumerate(names)
    )


def _calibration_error(true: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    value = multiclass_calibration_error(
        torch.from_numpy(scores), torch.from_numpy(true), num_classes=scores.shape[1], n_bins=CALIBRATION_BINS
    )
    return float(value)


def _reliability(true: NDArray[np.int64], scores: NDArray[np.float64]) -> Reliability:
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == true
    bins = np.digitize(confidence, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    cells = np.bincount(bins, minlength=CALIBRATION_BINS)
    least = np.where(cells, cells, np.nan)
    return Reliability(
        np.bincount(bins, confidence, CALIBRATION_BINS) / least,
        np.bincount(bins, right, CALIBRATION_BINS) / least,
        cells.astype(np.int64),
    )


def _roc(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> Curve | None:
    if positive.all() or not positive.any():
        return None
    false_rate, true_rate, _ = roc_curve(positive, scores)
    kept = np.unique(np.linspace(0, len(false_rate) - 1, _CURVE_POINTS).round().astype(int))
    return Curve(false_rate[kept], true_rate[kept])
