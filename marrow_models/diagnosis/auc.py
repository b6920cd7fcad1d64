"""Areas under ROC curves with bootstrap intervals over patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from marrow_models.diagnosis.intervals import CONFIDENCE, Interval
from marrow_models.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Auc:
    """An area under the ROC curve, from 0 to 1."""

    value: float
    interval: Interval
    """95 %, percentile bootstrap over patients, those with and those without drawn apart."""
    patients: int
    """With the class."""
    others: int

    def as_json(self) -> dict[str, object]:
        """Return the area as JSON values."""
        ends = [round(self.interval.low, 4), round(self.interval.high, 4)]
        return {"auc": round(self.value, 4), "interval": ends, "patients": self.patients, "others": self.others}

    def __str__(self) -> str:
        low, high = self.interval.low, self.interval.high
        return f"{self.value:.3f} ({low:.3f}-{high:.3f}; {self.patients} of {self.patients + self.others})"


def bootstrap_auc(
    is_class: NDArray[np.bool_], scores: NDArray[np.float64], *, draws: int, seed: int, name: str = "the class"
) -> Auc:
    """Return the AUC of ``scores`` (N,) for ``is_class`` (N,); UserError when all or none of the patients have it."""
    positive, negative = np.flatnonzero(is_class), np.flatnonzero(~is_class)
    if not len(positive) or not len(negative):
        raise UserError(f"no AUC of {name}: {len(positive)} of {len(is_class)} patients have it; more are needed.")
    rng = np.random.default_rng(seed)
    truth = np.repeat([True, False], [len(positive), len(negative)])
    drawn = [
        roc_auc_score(
            truth, scores[np.concatenate([rng.choice(positive, len(positive)), rng.choice(negative, len(negative))])]
        )
        for _ in range(draws)
    ]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Auc(float(roc_auc_score(is_class, scores)), Interval(float(low), float(high)), len(positive), len(negative))


def table(rows: Mapping[str, Mapping[str, Auc]]) -> str:
    """Return areas (row -> column -> area) as lines of text."""
    return "\n".join(f"{row:<12} {name:<6} {auc}" for row, areas in rows.items() for name, auc in areas.items())
