"""Is a differential like those of the training? A classifier alone would name a diagnosis for anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.diagnosis.features import FEATURES, LOG_ME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FLOOR_PERCENT = 1.0
"""Standard deviation added to every percentage: a few cells of a kind that training hardly showed are not novel."""

FLOOR_LOG_ME = 0.25
"""The same for the logarithm of M:E."""

KNOWN_SHARE = 0.995
"""Share of held-out patients that must count as familiar before the margin."""

MARGIN = 1.25
"""Factor between the distance of that share and the limit."""


@dataclass(frozen=True, slots=True)
class Novelty:
    """Mahalanobis distance to the nearest diagnosis, in feature units. K diagnoses, F features."""

    means: NDArray[np.float64]
    """(K, F)"""
    precisions: NDArray[np.float64]
    """(K, F, F): inverse covariances, with the floor added."""
    limit: float
    """A larger distance is unfamiliar."""

    def distances(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the distance of each row (N, F) to its nearest diagnosis, shape (N,)."""
        away = features[:, None, :] - self.means[None, :, :]
        squared = np.einsum("nkf,kfg,nkg->nk", away, self.precisions, away)
        return np.asarray(np.sqrt(squared.min(axis=1)), dtype=np.float64)

    def oddest(self, features: NDArray[np.float64]) -> int:
        """Return which feature of one vector (F,) adds most to its distance from the nearest diagnosis."""
        away = features - self.means
        pulls = away * np.einsum("kfg,kg->kf", self.precisions, away)  # each feature's part of the squared distance
        return int(pulls[int(pulls.sum(axis=1).argmin())].argmax())


def fit_novelty(
    features: NDArray[np.float64], diagnoses: NDArray[np.str_], classes: Sequence[str], limit: float = np.inf
) -> Novelty:
    """Return the distances' means and precisions, per class, of rows (N, F) with ``diagnoses`` (N,)."""
    floor = np.diag([(FLOOR_LOG_ME if name == LOG_ME else FLOOR_PERCENT) ** 2 for name in FEATURES])
    groups = [features[diagnoses == name] for name in classes]
    means = np.stack([group.mean(axis=0) for group in groups])
    precisions = np.stack([np.linalg.inv(np.cov(group, rowvar=False) + floor) for group in groups])
    return Novelty(means, precisions, float(limit))


def learn_limit(held_out: NDArray[np.float64]) -> float:
    """Return the limit from the distances (N,) of patients that were held out of the fit."""
    return float(np.quantile(held_out, KNOWN_SHARE) * MARGIN)
