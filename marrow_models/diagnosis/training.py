"""Training of the diagnosis model on simulated patients, and its figures by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, log_loss
from sklearn.model_selection import StratifiedKFold

from marrow_models.diagnosis.differential import differential
from marrow_models.diagnosis.features import feature_vector
from marrow_models.diagnosis.model import train_model
from marrow_models.diagnosis.model_files import ModelRecord, save_model
from marrow_models.diagnosis.novelty import fit_novelty, learn_limit
from marrow_models.errors import UserError
from marrow_models.phantom.patients import PROFILES, sample_composition
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from marrow_models.diagnosis.model import DiagnosisModel
    from marrow_models.taxonomy import Taxonomy

    Sampler = Callable[[np.random.Generator, str], Mapping[str, float]]
    """(generator, diagnosis) -> share of each label, adding up to 1, varying as patients do."""

CELLS = (200, 1000)
"""Fewest and most cells counted in a simulated patient."""

NEIGHBOUR_ERROR = 0.05
"""Share of the cells that observers put into one neighbouring stage of maturing."""

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Cohort:
    """Simulated patients, N rows: what was counted and what they have."""

    features: NDArray[np.float64]
    """(N, F) in the order of FEATURES."""
    diagnoses: NDArray[np.str_]
    """(N,)"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures on patients held out of the fit, all folds together."""

    classes: tuple[str, ...]
    f1: Mapping[str, float]
    macro_f1: float
    log_loss: float
    confusion: tuple[tuple[int, ...], ...]
    """Patients; rows are true diagnoses, columns named ones, in the order of ``classes``."""
    unfamiliar: float
    """Share of patients that the novelty guard would turn away."""

    def as_json(self) -> dict[str, object]:
        """Return the figures as JSON values, rounded to what a reader can use."""
        return {
            "validation": f"{FOLDS}-fold, by patient",
            "f1": {name: round(value, 6) for name, value in self.f1.items()},
            "macro_f1": round(self.macro_f1, 6),
            "log_loss": round(self.log_loss, 6),
            "unfamiliar": round(self.unfamiliar, 6),
            "confusion": [list(row) for row in self.confusion],
        }


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training made."""

    folder: Path
    digest: str
    patients: int
    seed: int
    novelty_limit: float
    figures: Figures

    def table(self) -> str:
        """Return the figures as lines of text."""
        f = self.figures
        rows = [f"{name:<10} {f.f1[name]:.3f}" for name in f.classes]
        tail = f"macro F1   {f.macro_f1:.3f}   log loss {f.log_loss:.3f}   unfamiliar {100 * f.unfamiliar:.1f} %"
        return "\n".join([f"diagnosis  F1 ({FOLDS} folds, {self.patients} patients)", *rows, tail])


def train_diagnosis(
    folder: Path,
    *,
    seed: int,
    patients: int = 2000,
    profiles: Sequence[str] = tuple(PROFILES),
    sample: Sampler = sample_composition,
    taxonomy: Taxonomy | None = None,
    confusion: NDArray[np.float64] | None = None,
) -> TrainingReport:
    """Train on ``patients`` simulated patients, the same number of each profile, and write the model to ``folder``.

    By default the patients are those of the phantom and the counting error is
    :func:`neighbour_confusion`. The figures are of held-out patients; the model in ``folder`` is then
    trained on all of them. The same arguments give the same files.
    """
    classes = load_taxonomy("marrow49") if taxonomy is None else taxonomy
    errors = neighbour_confusion(classes) if confusion is None else confusion
    cohort = simulate_cohort(
        np.random.default_rng(seed), profiles, sample, patients=patients, taxonomy=classes, confusion=errors
    )
    figures, limit = cross_validate(cohort, seed=seed)
    record = ModelRecord(
        taxonomy={"name": classes.name, "version": classes.version, "digest": classes.digest},
        training={
            "data": "simulated patients",
            "seed": seed,
            "patients": len(cohort.diagnoses),
            "prior": "every diagnosis equally common",
            "cells": list(CELLS),
            "counting_error": round(float(1 - np.diag(errors).mean()), 6),
        },
        figures=figures.as_json(),
    )
    model = save_model(folder, train_model(cohort.features, cohort.diagnoses, novelty_limit=limit), record)
    return TrainingReport(folder, model.digest, len(cohort.diagnoses), seed, limit, figures)


def neighbour_confusion(taxonomy: Taxonomy, error: float = NEIGHBOUR_ERROR) -> NDArray[np.float64]:
    """Return P(counted as column | truly row), (K, K) over the labels: ``error`` to each neighbour in maturing.

    Symmetric; each row adds up to 1.
    """
    index = {label: i for i, label in enumerate(taxonomy.labels)}
    matrix = np.zeros((len(index), len(index)))
    for line in taxonomy.maturation:
        for young, old in pairwise(line):
            matrix[index[young], index[old]] = matrix[index[old], index[young]] = error
    kept = 1 - matrix.sum(axis=1)
    if not 0 <= error <= 1 or (kept < 0).any():
        raise UserError(f"a counting error of {error} to each neighbour leaves some class no correct cell; lower it.")
    return matrix + np.diag(kept)


def simulate_cohort(
    rng: np.random.Generator,
    profiles: Sequence[str],
    sample: Sampler,
    *,
    patients: int,
    taxonomy: Taxonomy,
    confusion: NDArray[np.float64],
) -> Cohort:
    """Return ``patients`` patients, the profiles in turn; each is sampled, miscounted and counted once."""
    size = len(taxonomy.labels)
    if confusion.shape != (size, size) or not np.allclose(confusion.sum(axis=1), 1) or (confusion < 0).any():
        raise UserError(f"the confusion must be {size} rows of {size} shares, each row adding up to 1.")
    if len(set(profiles)) < 3 or patients < 2 * FOLDS * len(profiles):
        raise UserError(f"a training needs three or more profiles and {2 * FOLDS} patients of each.")
    diagnoses = [profiles[i % len(profiles)] for i in range(patients)]
    rows = [_counted(rng, sample(rng, name), taxonomy, confusion) for name in diagnoses]
    return Cohort(np.stack(rows), np.array(diagnoses, dtype=np.str_))


def cross_validate(cohort: Cohort, *, seed: int) -> tuple[Figures, float]:
    """Return the figures of held-out patients, and the novelty limit that their distances teach."""
    features, diagnoses = cohort.features, cohort.diagnoses
    classes = tuple(str(name) for name in np.unique(diagnoses))
    probabilities = np.zeros((len(diagnoses), len(classes)))
    distances = np.zeros(len(diagnoses))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fit, held_out in folds.split(features, diagnoses):
        model: DiagnosisModel = train_model(features[fit], diagnoses[fit], novelty_limit=np.inf)
        probabilities[held_out] = model.pipeline.predict_proba(features[held_out])
        distances[held_out] = fit_novelty(features[fit], diagnoses[fit], classes).distances(features[held_out])
    named = np.array(classes)[probabilities.argmax(axis=1)]
    scores = np.asarray(f1_score(diagnoses, named, labels=list(classes), average=None), dtype=np.float64)
    limit = learn_limit(distances)
    figures = Figures(
        classes=classes,
        f1=dict(zip(classes, scores.tolist(), strict=True)),
        macro_f1=float(scores.mean()),
        log_loss=float(log_loss(diagnoses, probabilities, labels=list(classes))),
        confusion=tuple(tuple(row) for row in confusion_matrix(diagnoses, named, labels=list(classes)).tolist()),
        unfamiliar=float((distances > limit).mean()),
    )
    return figures, limit


def _counted(
    rng: np.random.Generator, shares: Mapping[str, float], taxonomy: Taxonomy, confusion: NDArray[np.float64]
) -> NDArray[np.float64]:
    composition = np.zeros(len(taxonomy.labels))
    for label, value in shares.items():
        taxonomy.get(label)
        composition[taxonomy.labels.index(label)] = value
    # Every cell is drawn and misread on its own, so the counts are multinomial over the misread shares.
    seen = composition @ confusion
    cells = int(rng.integers(CELLS[0], CELLS[1] + 1))
    counts = rng.multinomial(cells, seen / seen.sum())
    return feature_vector(differential(dict(zip(taxonomy.labels, counts.tolist(), strict=True)), taxonomy))
