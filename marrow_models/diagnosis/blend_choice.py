"""The choice of a blend's parameters inside of a training, and its held-out scores. Never sees a test patient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from marrow_models.diagnosis.blend import Blend, fit_blend
from marrow_models.diagnosis.blend_members import Parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

Grid = Mapping[str, Sequence[Parameters]]
"""Member -> the parameters to choose from."""
Split = tuple["NDArray[np.int64]", "NDArray[np.int64]"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Patients of a training: features (N, F), labels (N,) and the group, a hospital, of each (N,)."""

    features: NDArray[np.float64]
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]

    def of(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """Return some of the patients."""
        return Rows(self.features[which], self.labels[which], self.groups[which])


def choose(rows: Rows, grid: Grid, *, folds: int, seed: int) -> dict[str, Parameters]:
    """Return for each member the parameters with the best mean one-vs-rest AUC on held-out patients of ``rows``.

    Each member is judged alone. Held out are, in turn, the folds and, where there are several groups, each whole
    group; both count the same. The AUC is taken within each group, so that telling groups apart earns nothing.
    Of equals the first of the grid wins, so a grid lists the simpler parameters first.
    """
    plans = [list(_folds(rows, folds, seed))]
    if len(np.unique(rows.groups)) > 1:
        plans.append(list(_whole_groups(rows)))
    chosen = {}
    for member, candidates in grid.items():
        scores = [np.mean([_score(rows, {member: own}, plan) for plan in plans]) for own in candidates]
        chosen[member] = candidates[int(np.argmax(scores))]
    return chosen


def held_out_scores(
    rows: Rows, parameters: Mapping[str, Parameters], *, folds: int, seed: int
) -> tuple[NDArray[np.float64], list[tuple[Blend, NDArray[np.int64]]]]:
    """Return the scores (N, K) of each patient by a blend that was fitted without, and those blends with their rows."""
    return _held_out(rows, parameters, list(_folds(rows, folds, seed)))


def one_vs_rest(labels: NDArray[np.str_], scores: NDArray[np.float64], classes: Sequence[str]) -> list[float]:
    """Return the AUC of each class against the rest; NaN where all or none of the patients have it."""
    present = [(labels == name) for name in classes]
    return [
        float(roc_auc_score(is_class, scores[:, k])) if 0 < is_class.sum() < len(labels) else np.nan
        for k, is_class in enumerate(present)
    ]


def _score(rows: Rows, parameters: Mapping[str, Parameters], plan: Sequence[Split]) -> float:
    scores, made = _held_out(rows, parameters, plan)
    exact = np.exp(scores)
    per_group = [
        one_vs_rest(rows.labels[rows.groups == group], exact[rows.groups == group], made[0][0].classes)
        for group in np.unique(rows.groups)
    ]
    return float(np.nanmean(per_group))


def _held_out(
    rows: Rows, parameters: Mapping[str, Parameters], plan: Sequence[Split]
) -> tuple[NDArray[np.float64], list[tuple[Blend, NDArray[np.int64]]]]:
    scores = np.zeros((len(rows.labels), len(np.unique(rows.labels))))
    made = []
    for fit, held_out in plan:
        blend = fit_blend(rows.features[fit], rows.labels[fit], parameters)
        scores[held_out] = blend.scores(rows.features[held_out])
        made.append((blend, held_out))
    return scores, made


def _folds(rows: Rows, folds: int, seed: int) -> Iterator[Split]:
    strata = np.char.add(np.char.add(rows.groups, "/"), rows.labels)
    yield from StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows.features, strata)


def _whole_groups(rows: Rows) -> Iterator[Split]:
    for group in np.unique(rows.groups):
        yield np.flatnonzero(rows.groups != group), np.flatnonzero(rows.groups == group)
