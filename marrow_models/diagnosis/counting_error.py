"""Diagnosis from predicted counts: what counting errors cost, on simulated patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.model_selection import StratifiedKFold

from marrow_models.diagnosis.counting_simulation import CountedCohort, CountingError, simulate_counts
from marrow_models.diagnosis.intervals import CONFIDENCE, Interval
from marrow_models.diagnosis.model import train_model
from marrow_models.diagnosis.model_files import ModelRecord, save_model
from marrow_models.diagnosis.novelty import fit_novelty, learn_limit
from marrow_models.diagnosis.training import CELLS, FOLDS
from marrow_models.taxonomy import load_taxonomy

TAXONOMY = "marrow49"
"""Of the simulated patients."""

CONDITIONS: Mapping[str, tuple[str, str]] = {
    "true counts": ("true", "true"),
    "predicted counts": ("predicted", "predicted"),
    "predicted counts, trained on true ones": ("true", "predicted"),
}
"""Name -> (counts that the model was trained on, counts of the patients held out)."""


@dataclass(frozen=True, slots=True)
class CountingSettings:
    """What a measurement may be told."""

    seed: int = 0
    patients: int = 2000
    draws: int = 1000
    """Of the bootstrap over patients."""


@dataclass(frozen=True, slots=True)
class ConditionFigures:
    """Diagnoses of held-out patients under one condition."""

    f1: Mapping[str, float]
    mean_f1: float
    interval: Interval
    """95 % of ``mean_f1``, percentile bootstrap over patients."""
    confusion: tuple[tuple[int, ...], ...]

    def as_json(self) -> dict[str, object]:
        """Return the figures as JSON values."""
        return {
            "f1": {name: round(value, 4) for name, value in self.f1.items()},
            "mean_f1": round(self.mean_f1, 4),
            "interval": [round(self.interval.low, 4), round(self.interval.high, 4)],
            "confusion": [list(row) for row in self.confusion],
        }


@dataclass(frozen=True, slots=True)
class CountingReport:
    """What a measurement made."""

    folder: Path
    digest: str
    figures: Mapping[str, ConditionFigures]
    """Of CONDITIONS."""

    def table(self) -> str:
        """Return the figures as lines of text."""
        rows = [
            f"{name:<40} {own.mean_f1:.3f} ({own.interval.low:.3f}-{own.interval.high:.3f})  "
            + "  ".join(f"{diagnosis} {value:.3f}" for diagnosis, value in own.f1.items())
            for name, own in self.figures.items()
        ]
        return "\n".join([f"mean F1, {FOLDS} folds by patient, simulated patients", *rows])


def train_on_predicted_counts(
    folder: Path, error: CountingError, settings: CountingSettings | None = None
) -> CountingReport:
    """Measure diagnosis from true and from predicted counts, and write a model of the predicted ones to ``folder``.

    The folder is one that :func:`load_model` reads. The same arguments give the same files.
    """
    told = settings or CountingSettings()
    taxonomy = load_taxonomy(TAXONOMY)
    cohort = simulate_counts(np.random.default_rng(told.seed), error, taxonomy, patients=told.patients)
    figures = {name: condition_figures(cohort, fit, test, told) for name, (fit, test) in CONDITIONS.items()}
    model = train_model(cohort.predicted, cohort.diagnoses, novelty_limit=_novelty_limit(cohort, told.seed))
    record = ModelRecord(
        taxonomy={"name": taxonomy.name, "version": taxonomy.version, "digest": taxonomy.digest},
        training={
            "data": "simulated patients, counted with error",
            "seed": told.seed,
            "patients": len(cohort.diagnoses),
            "prior": "every diagnosis equally common",
            "cells": list(CELLS),
            "counting_error": error.as_json(),
        },
        figures={name: own.as_json() for name, own in figures.items()},
    )
    return CountingReport(folder, save_model(folder, model, record).digest, figures)


def condition_figures(cohort: CountedCohort, fit: str, test: str, settings: CountingSettings) -> ConditionFigures:
    """Return the figures of held-out patients: models of ``fit`` counts on ``test`` counts, as in CONDITIONS."""
    features = {"true": cohort.true, "predicted": cohort.predicted}
    classes = [str(name) for name in np.unique(cohort.diagnoses)]
    named = np.empty_like(cohort.diagnoses)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=settings.seed)
    for train, held_out in folds.split(cohort.true, cohort.diagnoses):
        model = train_model(features[fit][train], cohort.diagnoses[train], novelty_limit=np.inf)
        named[held_out] = model.pipeline.predict(features[test][held_out])
    scores = f1_score(cohort.diagnoses, named, labels=classes, average=None)
    rng = np.random.default_rng(settings.seed)
    drawn = [
        f1_score(cohort.diagnoses[i], named[i], labels=classes, average="macro", zero_division=0)
        for i in (rng.integers(0, len(named), len(named)) for _ in range(settings.draws))
    ]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    table = confusion_matrix(cohort.diagnoses, named, labels=classes)
    return ConditionFigures(
        f1=dict(zip(classes, scores.tolist(), strict=True)),
        mean_f1=float(scores.mean()),
        interval=Interval(float(low), float(high)),
        confusion=tuple(tuple(row) for row in table.tolist()),
    )


def _novelty_limit(cohort: CountedCohort, seed: int) -> float:
    classes = [str(name) for name in np.unique(cohort.diagnoses)]
    distances = np.zeros(len(cohort.diagnoses))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for train, held_out in folds.split(cohort.predicted, cohort.diagnoses):
        novelty = fit_novelty(cohort.predicted[train], cohort.diagnoses[train], classes)
        distances[held_out] = novelty.distances(cohort.predicted[held_out])
    return learn_limit(distances)
