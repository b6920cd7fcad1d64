"""The diagnosis model: multinomial logistic regression on the differential, and its guard against the unfamiliar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from marrow_models.diagnosis.features import FEATURES, feature_vector
from marrow_models.diagnosis.novelty import Novelty, fit_novelty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from marrow_models.diagnosis.differential import Differential

LEAST_PROBABILITY = 0.6
"""Below it the model names no diagnosis: the second is then nearly as likely as the first."""

_INVERSE_REGULARISATION = 1.0
_ITERATIONS = 2000


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model makes of one differential."""

    probabilities: Mapping[str, float]
    """Diagnosis -> probability, most probable first, adding up to 1. Every diagnosis is taken as equally common."""
    distance: float
    """To the nearest diagnosis of the training, see :class:`Novelty`."""
    limit: float
    oddest: str
    """The one of FEATURES that is farthest from the training."""
    oddest_value: float

    @property
    def familiar(self) -> bool:
        """Whether the differential is like those of the training."""
        return self.distance <= self.limit


@dataclass(frozen=True, slots=True)
class DiagnosisModel:
    """A trained model. ``digest`` names its files' content; it is empty for one that was never written."""

    classes: tuple[str, ...]
    pipeline: Pipeline
    novelty: Novelty
    least_probability: float = LEAST_PROBABILITY
    digest: str = ""

    def predict(self, differential: Differential) -> Prediction:
        """Return probabilities and familiarity of a marrow differential."""
        features = feature_vector(differential)[None]
        found = np.asarray(self.pipeline.predict_proba(features), dtype=np.float64)[0]
        pairs = sorted(zip(self.classes, found.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
        distance = float(self.novelty.distances(features)[0])
        odd = self.novelty.oddest(features[0])
        return Prediction(dict(pairs), distance, self.novelty.limit, FEATURES[odd], float(features[0, odd]))


def train_model(features: NDArray[np.float64], diagnoses: NDArray[np.str_], *, novelty_limit: float) -> DiagnosisModel:
    """Return a model of rows (N, F) of FEATURES, one a patient, with their diagnoses (N,)."""
    pipeline = Pipeline(
        [
            ("scale", StandardScaler()),
            ("logistic", LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=_ITERATIONS)),
        ]
    )
    pipeline.fit(features, diagnoses)
    classes = tuple(str(name) for name in pipeline.classes_)
    return DiagnosisModel(classes, pipeline, fit_novelty(features, diagnoses, classes, novelty_limit))
