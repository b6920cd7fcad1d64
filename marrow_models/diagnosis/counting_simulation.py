"""Simulated patients, counted as a real detector and classifier would count them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.diagnosis.counting_matrix import Confusion, group_of
from marrow_models.diagnosis.differential import differential
from marrow_models.diagnosis.features import BLAST_LINEAGES, feature_vector
from marrow_models.diagnosis.training import CELLS, FOLDS
from marrow_models.errors import UserError
from marrow_models.phantom.patients import PROFILES, sample_composition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from marrow_models.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class CountingError:
    """What goes wrong when cells are counted. Nothing here has a value of its own: each is measured or assumed."""

    confusion: Confusion
    """Of the classifier, on cells that were found."""
    missed: float
    """Share of the cells that the detector does not find."""
    false_positives: float
    """Cells found that are none, per true cell; each gets the name of a row of ``confusion``, evenly."""
    lineage_kept: float
    """Share of the blasts whose lineage is named right; the rest evenly become leukaemic ones of another.

    A confusion of categories cannot tell: all blasts are one category.
    """
    uncovered_kept: float | None
    """Share named right of a category that ``confusion`` lacks, the rest evenly its names; None: none may lack."""
    pseudo_count: float = 0.5
    """Added to every cell of ``confusion`` (Jeffreys' prior)."""
    slide_concentration: float | None = None
    """Each patient's rows, one a label, are drawn from a Dirichlet of this concentration: slides differ. None: no."""

    def __post_init__(self) -> None:
        for name in ("missed", "lineage_kept", "uncovered_kept"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise UserError(f"{name} must be a share from 0 to 1, not {value}.")
        if self.missed == 1 or not 0 <= self.false_positives < np.inf:
            raise UserError("some cells must be found, and false positives are 0 or more per true cell.")
        if self.slide_concentration is not None and not self.slide_concentration > 0:
            raise UserError(f"slide_concentration must be above 0, not {self.slide_concentration}.")

    def as_json(self) -> dict[str, object]:
        """Return the assumptions as JSON values."""
        return {
            "cells_of_the_confusion": int(self.confusion.counts.sum()),
            "right_in_the_confusion": round(float(np.trace(self.confusion.counts) / self.confusion.counts.sum()), 4),
            "missed": self.missed,
            "false_positives": self.false_positives,
            "lineage_kept": self.lineage_kept,
            "uncovered_kept": self.uncovered_kept,
            "pseudo_count": self.pseudo_count,
            "slide_concentration": self.slide_concentration,
        }


@dataclass(frozen=True, slots=True)
class NamingShares:
    """Shares over the K labels and, last, any name that is not theirs: such a cell is lost to the differential."""

    of_cells: NDArray[np.float64]
    """(K, K + 1): P(named column | truly row)."""
    of_nothing: NDArray[np.float64]
    """(K + 1,): what a false positive is named."""


@dataclass(frozen=True, slots=True)
class CountedCohort:
    """Simulated patients, N rows, counted without and with error."""

    true: NDArray[np.float64]
    """(N, F) features of the differential."""
    predicted: NDArray[np.float64]
    diagnoses: NDArray[np.str_]


def simulate_counts(
    rng: np.random.Generator, error: CountingError, taxonomy: Taxonomy, *, patients: int
) -> CountedCohort:
    """Return ``patients`` patients of the phantom's profiles in turn, each counted once without and once with error.

    The same ``rng`` gives the same patients and true counts, whatever the error.
    """
    profiles = tuple(PROFILES)
    if patients < 2 * FOLDS * len(profiles):
        raise UserError(f"a measurement needs {2 * FOLDS * len(profiles)} patients or more, not {patients}.")
    shares = naming_shares(error, taxonomy)
    diagnoses = [profiles[i % len(profiles)] for i in range(patients)]
    of_patients, of_errors = rng.spawn(2)
    true, predicted = [], []
    for diagnosis in diagnoses:
        composition = np.zeros(len(taxonomy.labels))
        for label, share in sample_composition(of_patients, diagnosis).items():
            composition[taxonomy.labels.index(label)] = share
        cells = int(of_patients.integers(CELLS[0], CELLS[1] + 1))
        counts = of_patients.multinomial(cells, composition / composition.sum())
        true.append(_features(counts, taxonomy))
        predicted.append(_features(_miscounted(of_errors, counts, shares, error), taxonomy))
    return CountedCohort(np.stack(true), np.stack(predicted), np.array(diagnoses, np.str_))


def naming_shares(error: CountingError, taxonomy: Taxonomy) -> NamingShares:
    """Return how often cells get which label.

    A cell named right keeps its label, its lineage aside. One that is named wrongly becomes a label of that
    category, each as often as it is in the phantom's patients of all diagnoses together.
    """
    groups = [group_of(label, taxonomy) for label in taxonomy.labels]
    usual, elsewhere = _usual_labels(groups, taxonomy), np.append(np.zeros(len(groups)), 1.0)
    by_name = error.confusion.shares(error.pseudo_count)
    of_cells = np.zeros((len(groups), len(groups) + 1))
    for row, group in enumerate(groups):
        for name, share in _given_names(group, groups, by_name, error).items():
            right = name == group
            of_cells[row] += share * (_kept(row, taxonomy, error.lineage_kept) if right else usual.get(name, elsewhere))
    of_nothing = np.mean([usual.get(name, elsewhere) for name in error.confusion.names], axis=0)
    return NamingShares(of_cells, of_nothing)


def _usual_labels(groups: list[str], taxonomy: Taxonomy) -> dict[str, NDArray[np.float64]]:
    """Name -> P(label) over the labels and the name that is not theirs, of a cell that is named so by mistake."""
    weights = np.zeros(len(groups))
    for profile in PROFILES.values():
        for label, percent in profile.items():
            weights[taxonomy.labels.index(label)] += percent
    usual = {}
    for name in dict.fromkeys(groups):
        own = np.array([group == name for group in groups])
        drawn = np.where(own, weights if (weights * own).any() else 1.0, 0.0)
        usual[name] = np.append(drawn / drawn.sum(), 0.0)
    return usual


def _given_names(group: str, groups: list[str], by_name: NDArray[np.float64], error: CountingError) -> dict[str, float]:
    names = error.confusion.names
    if group in names:
        return dict(zip(names, by_name[names.index(group)].tolist(), strict=True))
    if error.uncovered_kept is None:
        missing = ", ".join(name for name in dict.fromkeys(groups) if name not in names)
        raise UserError(f"the confusion has no row for {missing}; say with uncovered_kept how many are named right.")
    spread = (1 - error.uncovered_kept) / len(names)
    return {group: error.uncovered_kept, **dict.fromkeys(names, spread)}


def _kept(row: int, taxonomy: Taxonomy, lineage_kept: float) -> NDArray[np.float64]:
    """P(label) of a cell whose category is named right: its own, or for a blast one of another lineage."""
    chosen = np.zeros(len(taxonomy.labels) + 1)
    own = taxonomy.classes[row]
    others = [
        i
        for lineage in BLAST_LINEAGES
        if lineage != own.lineage
        for i, other in enumerate(taxonomy.classes)
        if other.category == "blast" and other.lineage == lineage and other.blast == "leukaemic"
    ]
    if own.category != "blast" or not others:
        chosen[row] = 1.0
        return chosen
    chosen[row] = lineage_kept
    chosen[others] += (1 - lineage_kept) / len(others)
    return chosen


def _miscounted(
    rng: np.random.Generator, counts: NDArray[np.int64], shares: NamingShares, error: CountingError
) -> NDArray[np.int64]:
    """Return the counts per label (K,) that a detector and a classifier make of true counts (K,)."""
    found = rng.binomial(counts, 1 - error.missed)
    seen = np.zeros(len(shares.of_nothing), dtype=np.int64)
    for row in np.flatnonzero(found):
        seen += rng.multinomial(int(found[row]), _of_slide(rng, shares.of_cells[row], error.slide_concentration))
    extra = int(rng.poisson(error.false_positives * counts.sum()))
    return np.asarray((seen + rng.multinomial(extra, shares.of_nothing))[:-1], dtype=np.int64)


def _of_slide(rng: np.random.Generator, row: NDArray[np.float64], concentration: float | None) -> NDArray[np.float64]:
    if concentration is None:
        return np.asarray(row / row.sum(), dtype=np.float64)
    drawn = np.zeros(len(row))
    possible = row > 0
    drawn[possible] = rng.dirichlet(concentration * row[possible])
    return drawn


def _features(counts: NDArray[np.int64], taxonomy: Taxonomy) -> NDArray[np.float64]:
    return feature_vector(differential(dict(zip(taxonomy.labels, counts.tolist(), strict=True)), taxonomy))
