"""AML, ALL or APL from routine laboratory values: the model, and its guard against the unfamiliar."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from marrow_models.diagnosis.array_files import load_arrays, save_arrays
from marrow_models.diagnosis.blend import Blend, blend_arrays, blend_of_arrays
from marrow_models.diagnosis.laboratory_features import FEATURES, PLAIN_FEATURES, laboratory_features
from marrow_models.diagnosis.laboratory_values import NAMES
from marrow_models.diagnosis.novelty import Novelty
from marrow_models.errors import BundleError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL = "laboratory"
LEAST_PROBABILITY = 0.6
"""Below it no leukaemia is named: the second is then nearly as likely as the first."""
LEAST_VALUES = 8
"""Of the 14: with fewer the medians that stand for the missing ones would decide."""
NOVELTY_FLOOR = 0.5
"""In standard deviations, added to the spread of each feature."""

_MEMBERS = (
    "classes",
    "values",
    "features",
    "least_probability",
    "least_values",
    "novelty_limit",
    "training",
    "figures",
)


@dataclass(frozen=True, slots=True)
class LaboratoryResult:
    """What the model makes of N patients. There are no healthy ones in its training: it presumes acute leukaemia."""

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    """(N, K), rows adding up to 1; every class is taken as equally common."""
    known: NDArray[np.int64]
    """(N,) values that were given."""
    familiar: NDArray[np.bool_]
    """(N,) whether the values are like those of the training."""
    oddest: tuple[str, ...]
    """The feature of each patient that is farthest from the training."""
    named: tuple[str | None, ...]
    """The class; None where too few values are known, they are unfamiliar or no class is probable enough."""


@dataclass(frozen=True, slots=True)
class LaboratoryModel:
    """A trained model. ``digest`` names its files' content; it is empty for one that was never written."""

    blend: Blend
    novelty: Novelty
    least_probability: float = LEAST_PROBABILITY
    least_values: int = LEAST_VALUES
    digest: str = ""

    def predict(self, values: NDArray[np.float64]) -> LaboratoryResult:
        """Return the result of checked values (N, 14), see :func:`check_values`; NaN is missing."""
        if values.ndim != 2 or values.shape[1] != len(NAMES):
            raise UserError(f"laboratory values must be rows of {len(NAMES)}: {', '.join(NAMES)}.")
        features = laboratory_features(values)
        probabilities = self.blend.probabilities(features)
        known = np.isfinite(values).sum(axis=1)
        plain = novelty_features(self.blend, features)
        familiar = self.novelty.distances(plain) <= self.novelty.limit
        sure = familiar & (known >= self.least_values) & (probabilities.max(axis=1) >= self.least_probability)
        first = probabilities.argmax(axis=1)
        return LaboratoryResult(
            classes=self.blend.classes,
            probabilities=probabilities,
            known=known,
            familiar=familiar,
            oddest=tuple(PLAIN_FEATURES[self.novelty.oddest(row)] for row in plain),
            named=tuple(self.blend.classes[k] if s else None for k, s in zip(first, sure, strict=True)),
        )


def novelty_features(blend: Blend, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the guard looks at: PLAIN_FEATURES, standardised, missing ones at the median."""
    return blend.standardised(features)[:, : len(PLAIN_FEATURES)]


def fit_laboratory_novelty(
    plain: NDArray[np.float64], labels: NDArray[np.str_], classes: tuple[str, ...], limit: float = np.inf
) -> Novelty:
    """Return the guard of rows (N, F) of :func:`novelty_features` with ``labels`` (N,)."""
    floor = NOVELTY_FLOOR**2 * np.eye(plain.shape[1])
    groups = [plain[labels == name] for name in classes]
    precisions = [np.linalg.inv(np.cov(group, rowvar=False) + floor) for group in groups]
    return Novelty(np.stack([group.mean(axis=0) for group in groups]), np.stack(precisions), float(limit))


def save_laboratory(
    folder: Path, model: LaboratoryModel, *, training: Mapping[str, object], figures: Mapping[str, object]
) -> LaboratoryModel:
    """Write ``model`` into ``folder`` with how it was made, and return it with its digest."""
    arrays = blend_arrays(model.blend)
    arrays |= {"novelty_means": model.novelty.means, "novelty_precisions": model.novelty.precisions}
    description: dict[str, object] = {
        "classes": list(model.blend.classes),
        "values": list(NAMES),
        "features": list(FEATURES),
        "least_probability": model.least_probability,
        "least_values": model.least_values,
        "novelty_limit": model.novelty.limit,
        "training": dict(training),
        "figures": dict(figures),
    }
    return replace(model, digest=save_arrays(folder, MODEL, arrays, description))


def load_laboratory(folder: Path, digest: str | None = None) -> LaboratoryModel:
    """Return the model in ``folder``; BundleError when it is missing, altered or not such a model."""
    loaded = load_arrays(folder, MODEL, _MEMBERS, digest)
    where, size = f"{folder.name}/{MODEL}", len(PLAIN_FEATURES)
    arrays = dict(loaded.arrays)
    try:
        classes = loaded.description.texts("classes")
        if loaded.description.texts("values") != NAMES or loaded.description.texts("features") != FEATURES:
            raise ValueError("made for other values or features than this version computes")
        means, precisions = arrays.pop("novelty_means"), arrays.pop("novelty_precisions")
        if means.shape != (len(classes), size) or precisions.shape != (len(classes), size, size):
            raise ValueError("the guard has another shape")
        if not (np.isfinite(means).all() and np.isfinite(precisions).all()):
            raise ValueError("the guard holds values that are not finite")
        return LaboratoryModel(
            blend_of_arrays(arrays, classes, len(FEATURES)),
            Novelty(means, precisions, loaded.description.number("novelty_limit", 0, 1e9)),
            loaded.description.number("least_probability", 0, 1),
            loaded.description.whole("least_values", 1, len(NAMES)),
            loaded.digest,
        )
    except (ValueError, KeyError, UserError) as error:
        raise BundleError(f"{where}: not a laboratory model ({error}); train the model again.") from error
