"""Training of the laboratory model, and its figures on hospitals that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.datasets.aipal import LICENCE, RESPONSES, SOURCE, LaboratoryTable, read_aipal
from marrow_models.diagnosis import auc
from marrow_models.diagnosis.auc import Auc, bootstrap_auc
from marrow_models.diagnosis.blend import Blend, fit_blend, learn_temperature
from marrow_models.diagnosis.blend_choice import Grid, Rows, choose, held_out_scores
from marrow_models.diagnosis.laboratory import (
    LaboratoryModel,
    LaboratoryResult,
    fit_laboratory_novelty,
    novelty_features,
    save_laboratory,
)
from marrow_models.diagnosis.laboratory_features import PLAIN_FEATURES, laboratory_features
from marrow_models.diagnosis.laboratory_values import column
from marrow_models.diagnosis.novelty import learn_limit
from marrow_models.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from marrow_models.diagnosis.blend_members import Parameters

_SMOOTH = len(PLAIN_FEATURES)

GRID: Grid = MappingProxyType(
    {
        "linear": [{"c": c} for c in (0.03, 0.1, 0.3)],
        "smooth": [{"c": c, "gamma": g, "features": _SMOOTH} for g in (0.01, 0.02, 0.05) for c in (1.0, 3.0, 10.0)],
        "trees": [
            {"rounds": rounds, "depth": depth, "rate": 0.05, "leaf": 20} for depth in (2, 3) for rounds in (100, 200)
        ],
    }
)
"""What is chosen from inside of each training."""

PUBLISHED = MappingProxyType({"ALL": 0.90, "AML": 0.89, "APL": 0.97})
"""AUC as published (Alcazar et al., Lancet Digit Health 2024)."""

ADULT_YEARS = 18


@dataclass(frozen=True, slots=True)
class LaboratorySettings:
    """What a training may be told."""

    seed: int = 0
    folds: int = 5
    """Of the choice and of what is learned on held-out patients, inside of the training."""
    draws: int = 1000
    """Of the bootstrap."""
    grid: Grid = field(default_factory=lambda: GRID)
    units: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """Hospital -> column -> unit, see :func:`read_aipal`."""


@dataclass(frozen=True, slots=True)
class HospitalFigures:
    """Figures on one hospital by a model that was trained, with every choice, on the others."""

    auc: Mapping[str, Auc]
    adult_auc: Mapping[str, Auc]
    """Of patients from ADULT_YEARS: a child's age nearly tells the leukaemia. Without classes that adults lack."""
    named: float
    """Share of patients for whom the model names a class."""
    right: float
    """Share of those for whom it is the right one."""
    unfamiliar: float
    chosen: Mapping[str, Parameters]

    def as_json(self) -> dict[str, object]:
        """Return the figures as JSON values."""
        return {
            "auc": {name: area.as_json() for name, area in self.auc.items()},
            "adult_auc": {name: area.as_json() for name, area in self.adult_auc.items()},
            "named": round(self.named, 4),
            "right": round(self.right, 4),
            "unfamiliar": round(self.unfamiliar, 4),
            "chosen": {name: dict(own) for name, own in self.chosen.items()},
        }


@dataclass(frozen=True, slots=True)
class LaboratoryReport:
    """What a training made."""

    folder: Path
    digest: str
    figures: Mapping[str, HospitalFigures]
    """Hospital held out -> figures."""
    pooled: Mapping[str, Auc]
    """All hospitals together, each patient by the model that never saw their hospital."""
    notes: tuple[str, ...]

    def table(self) -> str:
        """Return the areas as lines of text."""
        rows = {name: own.auc for name, own in self.figures.items()}
        adults = {f"{name} >={ADULT_YEARS}": own.adult_auc for name, own in self.figures.items()}
        tail = [
            f"{name:<12} named {100 * own.named:.0f} %, of these right {100 * own.right:.0f} %, "
            f"unfamiliar {100 * own.unfamiliar:.1f} %"
            for name, own in self.figures.items()
        ]
        published = ", ".join(f"{name} {value:.2f}" for name, value in PUBLISHED.items())
        head = f"AUC, hospital held out (published: {published})"
        return "\n".join([head, auc.table(rows | {"pooled": self.pooled}), auc.table(adults), *tail])


def train_laboratory(data: Path, folder: Path, settings: LaboratorySettings | None = None) -> LaboratoryReport:
    """Measure on each hospital of ``data`` by models of the others, then train on all and write that to ``folder``.

    Parameters are chosen inside of each training from ``settings.grid``; nothing of the hospital held out takes
    part in a choice. UserError for fewer than three hospitals. The same arguments give the same files.
    """
    chosen = settings or LaboratorySettings()
    patients = read_aipal(data, units=chosen.units)
    figures, pooled = evaluate_laboratory(patients, chosen)
    model, parameters = fit_laboratory(rows_of(patients), chosen)
    training: dict[str, object] = {
        "data": {"name": "aipal", "source": SOURCE, "licence": LICENCE},
        "patients": {name: int((patients.hospitals == name).sum()) for name in figures},
        "seed": chosen.seed,
        "prior": "every class equally common",
        "chosen": {name: dict(own) for name, own in parameters.items()},
        "notes": list(patients.notes),
    }
    shown: dict[str, object] = {
        "validation": "each hospital by a model of the others",
        "hospitals": {name: own.as_json() for name, own in figures.items()},
        "pooled_auc": {name: area.as_json() for name, area in pooled.items()},
    }
    saved = save_laboratory(folder, model, training=training, figures=shown)
    return LaboratoryReport(folder, saved.digest, figures, pooled, patients.notes)


def evaluate_laboratory(
    patients: LaboratoryTable, settings: LaboratorySettings
) -> tuple[dict[str, HospitalFigures], dict[str, Auc]]:
    """Return the figures of each hospital by a model of the others, and the areas of all of these together."""
    hospitals = [str(name) for name in np.unique(patients.hospitals)]
    if len(hospitals) < 3:
        raise UserError(f"three or more hospitals are needed to hold one out; found {', '.join(hospitals)}.")
    rows = rows_of(patients)
    figures = {}
    probabilities = np.zeros((len(rows.labels), len(RESPONSES)))
    for name in hospitals:
        away = patients.hospitals == name
        if missing := sorted(set(RESPONSES) - set(rows.labels[~away])):
            raise UserError(f"without {name} no patient has {', '.join(missing)}: another hospital is needed.")
        model, chosen = fit_laboratory(rows.of(~away), settings)
        result = model.predict(patients.values[away])
        probabilities[away] = result.probabilities
        figures[name] = _figures(result, patients.values[away], patients.responses[away], chosen, settings)
    return figures, _areas(patients.responses, probabilities, settings)


def rows_of(patients: LaboratoryTable) -> Rows:
    """Return the features, responses and hospitals of patients."""
    return Rows(laboratory_features(patients.values), patients.responses, patients.hospitals)


def fit_laboratory(rows: Rows, settings: LaboratorySettings) -> tuple[LaboratoryModel, dict[str, Parameters]]:
    """Return a model of ``rows`` with parameters, temperature and novelty limit learned inside of them."""
    chosen = choose(rows, settings.grid, folds=settings.folds, seed=settings.seed)
    scores, parts = held_out_scores(rows, chosen, folds=settings.folds, seed=settings.seed + 1)
    blend = fit_blend(rows.features, rows.labels, chosen)
    blend = replace(blend, temperature=learn_temperature(scores, rows.labels, blend.classes))
    limit = learn_limit(np.concatenate([_distances(part, rows, held_out) for part, held_out in parts]))
    plain = novelty_features(blend, rows.features)
    return LaboratoryModel(blend, fit_laboratory_novelty(plain, rows.labels, blend.classes, limit)), chosen


def _distances(part: Blend, rows: Rows, held_out: NDArray[np.int64]) -> NDArray[np.float64]:
    plain = novelty_features(part, rows.features)
    fitted = np.setdiff1d(np.arange(len(plain)), held_out)
    return fit_laboratory_novelty(plain[fitted], rows.labels[fitted], part.classes).distances(plain[held_out])


def _figures(
    result: LaboratoryResult,
    values: NDArray[np.float64],
    responses: NDArray[np.str_],
    chosen: Mapping[str, Parameters],
    settings: LaboratorySettings,
) -> HospitalFigures:
    adult = column(values, "age") >= ADULT_YEARS
    named = np.array([name is not None for name in result.named])
    right = np.array([name == truth for name, truth in zip(result.named, responses, strict=True)])
    return HospitalFigures(
        auc=_areas(responses, result.probabilities, settings),
        adult_auc=_areas(responses[adult], result.probabilities[adult], settings),
        named=float(named.mean()),
        right=float(right[named].mean()) if named.any() else 0.0,
        unfamiliar=float((~result.familiar).mean()),
        chosen=dict(chosen),
    )


def _areas(
    responses: NDArray[np.str_], probabilities: NDArray[np.float64], settings: LaboratorySettings
) -> dict[str, Auc]:
    """Return the area of each response that some but not all of the patients have."""
    return {
        name: bootstrap_auc(responses == name, probabilities[:, k], draws=settings.draws, seed=settings.seed, name=name)
        for k, name in enumerate(RESPONSES)
        if 0 < (responses == name).sum() < len(responses)
    }
