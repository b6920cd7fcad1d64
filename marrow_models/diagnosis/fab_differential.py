"""FAB M3, M4 and M5 against the rest of acute myeloid leukaemia, from a differential: model and figures.

The FAB class was itself read from a smear, so a high figure says that a differential carries it, not that a
differential can replace cytochemistry, immunophenotype or the PML::RARA test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedKFold

from marrow_models.datasets.tcga_laml import CELLS, LICENCE, SOURCE, FabTable, read_tcga_laml
from marrow_models.diagnosis.array_files import load_arrays, save_arrays
from marrow_models.diagnosis.auc import Auc, bootstrap_auc
from marrow_models.diagnosis.blend import Blend, blend_arrays, blend_of_arrays, fit_blend, learn_temperature
from marrow_models.diagnosis.blend_choice import Grid, Rows, choose, held_out_scores
from marrow_models.errors import BundleError, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from marrow_models.diagnosis.blend_members import Parameters

MODEL = "fab_differential"
REST = "other"
CLASSES = ("m3", "m4", "m5")
TASKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"M3": ("m3",), "M4": ("m4",), "M5": ("m5",), "M4 or M5": ("m4", "m5")}
)
"""Task -> the FAB classes that are held against all others."""

FEATURES = (*(f"{cell} (root of %)" for cell in CELLS), "other blasts (%)", "other blasts less blasts (%)")

GRID: Grid = MappingProxyType(
    {
        "linear": [{"c": c} for c in (0.03, 0.1, 0.3)],
        "smooth": [{"c": c, "gamma": g, "features": len(FEATURES)} for g in (0.01, 0.03) for c in (1.0, 3.0)],
        "trees": [
            {"rounds": rounds, "depth": depth, "rate": 0.05, "leaf": 8} for depth in (1, 2) for rounds in (60, 120)
        ],
    }
)

_MEMBERS = ("classes", "features", "training", "figures")


@dataclass(frozen=True, slots=True)
class FabSettings:
    """What a training may be told."""

    seed: int = 0
    outer_folds: int = 5
    repeats: int = 3
    """Of the outer folds, each with other ones; a patient's score is the mean over them."""
    folds: int = 4
    """Of the choice, inside of each outer training."""
    draws: int = 1000
    grid: Grid = field(default_factory=lambda: GRID)


@dataclass(frozen=True, slots=True)
class FabReport:
    """What a training made."""

    folder: Path
    digest: str
    patients: int
    auc: Mapping[str, Auc]
    """Task -> area on held-out patients."""
    single: Mapping[str, Auc]
    """The share of one kind of cell alone, to compare: promyelocytes for M3, monocytes for the others."""
    notes: tuple[str, ...]

    def table(self) -> str:
        """Return the areas as lines of text."""
        rows = [f"{task:<9} {area}   one kind of cell alone {self.single[task]}" for task, area in self.auc.items()]
        return "\n".join([f"AUC, nested cross-validation, {self.patients} patients", *rows])


def train_fab(data: Path, folder: Path, settings: FabSettings | None = None) -> FabReport:
    """Measure by nested cross-validation on the table ``data``, train on all of it and write that to ``folder``.

    The same arguments give the same files.
    """
    told = settings or FabSettings()
    table = read_tcga_laml(data)
    rows = fab_rows(table)
    scores = nested_probabilities(rows, told)
    areas = {task: _area(table, scores[:, _places(fab)].sum(axis=1), task, told) for task, fab in TASKS.items()}
    single = {task: _area(table, _one_kind(table, task), task, told) for task in TASKS}
    blend, chosen = fit_fab(rows, told)
    description: dict[str, object] = {
        "classes": list(blend.classes),
        "features": list(FEATURES),
        "training": {
            "data": {"name": "tcga_laml", "source": SOURCE, "licence": LICENCE},
            "patients": len(table.fab),
            "seed": told.seed,
            "prior": "every class equally common",
            "chosen": {name: dict(own) for name, own in chosen.items()},
            "notes": list(table.notes),
        },
        "figures": {
            "validation": f"nested, {told.repeats} times {told.outer_folds} folds, by patient",
            "auc": {task: area.as_json() for task, area in areas.items()},
            "one_kind_of_cell": {task: area.as_json() for task, area in single.items()},
        },
    }
    digest = save_arrays(folder, MODEL, blend_arrays(blend), description)
    return FabReport(folder, digest, len(table.fab), areas, single, table.notes)


def load_fab(folder: Path, digest: str | None = None) -> Blend:
    """Return the model in ``folder``, for rows of :func:`fab_features`; BundleError when it is missing or altered."""
    loaded = load_arrays(folder, MODEL, _MEMBERS, digest)
    try:
        if loaded.description.texts("features") != FEATURES:
            raise ValueError("made for other features than this version computes")
        return blend_of_arrays(loaded.arrays, loaded.description.texts("classes"), len(FEATURES))
    except (ValueError, KeyError, UserError) as error:
        raise BundleError(f"{folder.name}/{MODEL}: not a FAB model ({error}); train the model again.") from error


def fab_features(percents: NDArray[np.float64], other_blasts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return FEATURES (N, 15) of differentials (N, 13) in percent and the other count of blasts (N,)."""
    blasts = percents[:, list(CELLS).index("blast")]
    return np.column_stack([np.sqrt(percents), other_blasts, other_blasts - blasts])


def fab_rows(table: FabTable) -> Rows:
    """Return features and classes, those outside of CLASSES as REST; the patients are one group."""
    labels = np.where(np.isin(table.fab, CLASSES), table.fab, REST).astype(np.str_)
    return Rows(fab_features(table.percents, table.other_blasts), labels, np.full(len(labels), "tcga"))


def fit_fab(rows: Rows, settings: FabSettings) -> tuple[Blend, dict[str, Parameters]]:
    """Return a model of ``rows`` with parameters and temperature learned inside of them."""
    chosen = choose(rows, settings.grid, folds=settings.folds, seed=settings.seed)
    scores, _ = held_out_scores(rows, chosen, folds=settings.folds, seed=settings.seed + 1)
    blend = fit_blend(rows.features, rows.labels, chosen)
    return replace(blend, temperature=learn_temperature(scores, rows.labels, blend.classes)), chosen


def nested_probabilities(rows: Rows, settings: FabSettings) -> NDArray[np.float64]:
    """Return (N, K) probabilities of each patient by models that were chosen and fitted without, K sorted classes."""
    total = np.zeros((len(rows.labels), len(np.unique(rows.labels))))
    for repeat in range(settings.repeats):
        folds = StratifiedKFold(settings.outer_folds, shuffle=True, random_state=settings.seed + repeat)
        for fit, held_out in folds.split(rows.features, rows.labels):
            blend, _ = fit_fab(rows.of(fit), settings)
            total[held_out] += blend.probabilities(rows.features[held_out])
    return total / settings.repeats


def _places(fab: tuple[str, ...]) -> list[int]:
    return [sorted((*CLASSES, REST)).index(name) for name in fab]


def _one_kind(table: FabTable, task: str) -> NDArray[np.float64]:
    names = list(CELLS)
    if task == "M3":
        return table.percents[:, names.index("promyelocyte")]
    return table.percents[:, names.index("monocyte")] + table.percents[:, names.index("promonocyte")]


def _area(table: FabTable, scores: NDArray[np.float64], task: str, settings: FabSettings) -> Auc:
    has = np.isin(table.fab, TASKS[task])
    return bootstrap_auc(has, scores, draws=settings.draws, seed=settings.seed, name=task)
