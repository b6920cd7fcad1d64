"""A few simulated kinds of patients over marrow49, independent of the phantom, and a small trained model."""

from functools import cache
from pathlib import Path

import numpy as np

from marrow_models.diagnosis.model import DiagnosisModel, train_model
from marrow_models.diagnosis.training import cross_validate, neighbour_confusion, simulate_cohort
from marrow_models.taxonomy import load_taxonomy

MARROW49 = load_taxonomy("marrow49")

RULES_FOLDER = Path(__file__).parents[3] / "marrow_models" / "diagnosis" / "rules"

_RESIDUE = {
    "promyelocyte": 3,
    "neutrophilic_myelocyte": 13,
    "neutrophilic_metamyelocyte": 14,
    "neutrophilic_band": 14,
    "segmented_neutrophil": 10,
    "segmented_eosinophil": 3,
    "monocyte": 2,
    "lymphocyte": 9,
    "lymphoid_precursor_cell": 3,
    "plasma_cell": 1,
    "proerythroblast": 1,
    "basophilic_erythroblast": 3,
    "polychromatic_erythroblast": 15,
    "orthochromatic_erythroblast": 7,
    "myeloid_precursor_cell": 2,
}

SHARES = {
    "normal": _RESIDUE,
    "ALL": {label: 0.25 * value for label, value in _RESIDUE.items()} | {"lymphocytic_blast": 75},
    "AML": {label: 0.35 * value for label, value in _RESIDUE.items()} | {"myelocytic_blast": 50, "monocytic_blast": 15},
    "CML": {label: 0.9 * value for label, value in _RESIDUE.items()}
    | {"neutrophilic_myelocyte": 24, "segmented_neutrophil": 24, "segmented_basophil": 5, "myelocytic_blast": 2}
    | {"polychromatic_erythroblast": 4, "orthochromatic_erythroblast": 2},
}
"""Diagnosis -> weights of the labels."""


def sample(rng: np.random.Generator, diagnosis: str) -> dict[str, float]:
    """One patient: the weights of the diagnosis, varied as a Dirichlet draw."""
    labels, weights = zip(*SHARES[diagnosis].items(), strict=True)
    drawn = rng.dirichlet(60 * np.array(weights) / sum(weights))
    return dict(zip(labels, drawn.tolist(), strict=True))


def typical(diagnosis: str, cells: int = 1000) -> dict[str, int]:
    """Counts of a patient exactly like the weights, of about ``cells`` cells."""
    weights = SHARES[diagnosis]
    return {label: round(cells * value / sum(weights.values())) for label, value in weights.items()}


@cache
def small_model() -> DiagnosisModel:
    """A model of 400 patients; the same in every test of the process."""
    confusion = neighbour_confusion(MARROW49)
    cohort = simulate_cohort(
        np.random.default_rng(7), tuple(SHARES), sample, patients=400, taxonomy=MARROW49, confusion=confusion
    )
    _, limit = cross_validate(cohort, seed=7)
    return train_model(cohort.features, cohort.diagnoses, novelty_limit=limit)
