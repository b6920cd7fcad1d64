"""Who the phantom's patients are: what marrow of each diagnosis holds, and how much patients differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import numpy as np

from marrow_models.errors import UserError

# Shares below this part of the mean sum are kept from vanishing in the Dirichlet draw.
_LEAST_CONCENTRATION = 0.02


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of a disease. Shares are parts of 1."""

    weight: float
    """How often patients of the diagnosis have this form."""
    burden: tuple[float, float]
    """Least and most part of the cells that is leukaemic."""
    burden_beta: tuple[float, float]
    leukaemic: Mapping[str, float]
    leukaemic_concentration: float
    residue: Mapping[str, float]
    residue_concentration: float

    @property
    def mean(self) -> dict[str, float]:
        """Expected share of each label."""
        low, high = self.burden
        a, b = self.burden_beta
        burden = low + (high - low) * a / (a + b)
        return _mixed(burden, self.leukaemic, self.residue)

    def sample(self, rng: np.random.Generator) -> dict[str, float]:
        """One patient's share of each label."""
        low, high = self.burden
        burden = low + (high - low) * float(rng.beta(*self.burden_beta))
        return _mixed(
            burden,
            _dirichlet(rng, self.leukaemic, self.leukaemic_concentration),
            _dirichlet(rng, self.residue, self.residue_concentration),
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """A diagnosis: its forms and the ages of its patients."""

    diagnosis: str
    age_years: tuple[int, int]
    variants: tuple[Variant, ...]

    @property
    def mean_percent(self) -> dict[str, float]:
        """Expected percentage of each label over all patients of the diagnosis."""
        mean: dict[str, float] = {}
        for variant in self.variants:
            for label, share in variant.mean.items():
                mean[label] = mean.get(label, 0.0) + 100 * variant.weight * share
        return mean


@dataclass(frozen=True, slots=True)
class Demography:
    """What the manifest says of a patient."""

    age_years: int
    sex: str
    """``female`` or ``male``."""


def _mixed(burden: float, leukaemic: Mapping[str, float], residue: Mapping[str, float]) -> dict[str, float]:
    mixed = {label: (1 - burden) * share for label, share in residue.items()}
    for label, share in leukaemic.items():
        mixed[label] = mixed.get(label, 0.0) + burden * share
    return mixed


def _dirichlet(rng: np.random.Generator, mean: Mapping[str, float], concentration: float) -> dict[str, float]:
    if not mean:
        return {}
    alpha = np.maximum(concentration * np.array(list(mean.values())), _LEAST_CONCENTRATION)
    return dict(zip(mean, rng.dirichlet(alpha).tolist(), strict=True))


def _shares(percentages: Mapping[str, float]) -> dict[str, float]:
    total = sum(percentages.values())
    return {label: value / total for label, value in percentages.items()}


def _variant(row: Mapping[str, Any], residue: Mapping[str, float]) -> Variant:
    return Variant(
        weight=float(row["weight"]),
        burden=(float(row["burden"][0]), float(row["burden"][1])),
        burden_beta=(float(row["burden_beta"][0]), float(row["burden_beta"][1])),
        leukaemic=_shares(row["leukaemic"]),
        leukaemic_concentration=float(row.get("leukaemic_concentration", 1.0)),
        residue=_shares(row.get("residue", residue)),
        residue_concentration=float(row["residue_concentration"]),
    )


def _load() -> dict[str, Profile]:
    table = json.loads(files("marrow_models.phantom").joinpath("patients.json").read_text("utf-8"))
    return {
        diagnosis: Profile(
            diagnosis,
            (int(row["age_years"][0]), int(row["age_years"][1])),
            tuple(_variant(variant, table["residue"]) for variant in row["variants"]),
        )
        for diagnosis, row in table["diagnoses"].items()
    }


_BY_DIAGNOSIS = _load()

PROFILES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {diagnosis: MappingProxyType(profile.mean_percent) for diagnosis, profile in _BY_DIAGNOSIS.items()}
)
"""Diagnosis -> mean percentage of each label among all nucleated cells; each sums to 100."""


def profile_of(diagnosis: str) -> Profile:
    """Return the profile of a diagnosis; ``UserError`` where there is none."""
    try:
        return _BY_DIAGNOSIS[diagnosis]
    except KeyError:
        raise UserError(f"The phantom knows no diagnosis {diagnosis!r}, only {', '.join(_BY_DIAGNOSIS)}.") from None


def sample_composition(rng: np.random.Generator, diagnosis: str) -> dict[str, float]:
    """One patient's share of each label, summing to 1; cells outside the differential are included."""
    variants = profile_of(diagnosis).variants
    pick = int(rng.choice(len(variants), p=[variant.weight for variant in variants]))
    return variants[pick].sample(rng)


def sample_demography(rng: np.random.Generator, diagnosis: str) -> Demography:
    """Draw a patient's age and sex."""
    least, most = profile_of(diagnosis).age_years
    return Demography(int(rng.integers(least, most + 1)), ("female", "male")[int(rng.integers(2))])
