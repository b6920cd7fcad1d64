"""How well diagnoses are named: F1 and area under the ROC curve of each diagnosis, with intervals by patient.

The mean F1 over the diagnoses is what the target data set's paper states (Hoefener et al. 2025, arXiv:2509.15895); the
area of each diagnosis against the rest is what AIPAL states (Alcazer et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import brier_score_loss, log_loss

from marrow_models.errors import UserError
from marrow_models.evaluation.classes import ClassFigures, class_figures
from marrow_models.evaluation.inputs import checked_probabilities
from marrow_models.evaluation.resampling import RESAMPLES, Estimate, grouped, with_intervals


@dataclass(frozen=True, slots=True)
class DiagnosisFigures:
    """Figures of a diagnosis model on held-out patients."""

    answered: Estimate
    """Share of the patients that were given a suggestion; all other figures are of these."""
    classes: ClassFigures
    """Its macro F1 is the mean F1 of the diagnoses."""
    log_loss: float
    """Mean negative logarithm of the probability of the true diagnosis."""
    brier: float
    """Mean squared distance of the probabilities from the truth, summed over the diagnoses: 0 to 2."""


def diagnosis_figures(
    truth: Sequence[str],
    probabilities: ArrayLike,
    diagnoses: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
    answered: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> DiagnosisFigures:
    """Judge ``probabilities`` (N, D), one row for each patient, against the true diagnoses (N).

    ``patients`` only where a patient has several rows (slides): they are drawn together. ``answered`` (N,) says which
    rows were given a suggestion at all; None: every one. UserError when the arrays do not fit, a true diagnosis is not
    one of ``diagnoses``, or no row was answered.
    """
    place = {name: index for index, name in enumerate(diagnoses)}
    if unknown := sorted(set(truth) - place.keys()):
        raise UserError(
            f"diagnoses: {', '.join(unknown)[:200]} in the truth, expected {', '.join(diagnoses)[:200]}. "
            "Leave these patients out, or judge a model that knows them."
        )
    scores = checked_probabilities(probabilities, len(truth), diagnoses, "diagnoses")
    said = np.ones(len(truth), bool) if answered is None else np.asarray(answered, bool)
    if said.shape != (len(truth),) or not said.any():
        raise UserError(
            f"diagnoses: answered has shape {said.shape} and {int(said.sum())} rows with a suggestion, expected "
            f"({len(truth)},) and at least one."
        )
    rows = np.flatnonzero(said).tolist()
    true = np.asarray([place[truth[row]] for row in rows], np.int64)
    names = None if patients is None else [patients[row] for row in rows]
    classes = class_figures(true, scores[rows], diagnoses, groups=names, seed=seed, resamples=resamples, unit="patient")
    labels = list(range(len(diagnoses)))
    return DiagnosisFigures(
        answered=_share(said, patients, seed, resamples),
        classes=classes,
        log_loss=float(log_loss(true, scores[rows], labels=labels)),
        brier=float(brier_score_loss(true, scores[rows], labels=labels, scale_by_half=False)),
    )


def _share(said: NDArray[np.bool_], patients: Sequence[str | None] | None, seed: int, resamples: int) -> Estimate:
    groups = grouped(patients, len(said), "patient")
    rows = np.bincount(groups.index, minlength=groups.count).astype(np.float64)
    hits = np.bincount(groups.index, said, groups.count)

    def statistic(draws: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {"answered": np.asarray((draws @ hits) / (draws @ rows))}

    figures = {"answered": float(said.mean())}
    return with_intervals(figures, statistic, groups, width=groups.count, seed=seed, resamples=resamples)["answered"]
