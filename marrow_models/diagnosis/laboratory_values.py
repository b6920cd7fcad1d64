"""The routine laboratory values of a patient at diagnosis: their units, and what no patient can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_SHARE_IMPOSSIBLE = 0.05
"""Of a column. A few slips of the pen are taken for missing; more are another unit."""

RATIO_AGREES = (0.8, 1.25)
"""Least and most median of (percentage given) : (percentage computed from the absolute counts)."""

_NO_UNITS: Mapping[str, float] = MappingProxyType({})
_ROUNDING = 0.5  # absolute counts are rounded, so a part may exceed its whole by this percentage of it


@dataclass(frozen=True, slots=True)
class LaboratoryValue:
    """One value. ``low`` and ``high`` bound what can be, far outside of what is normal."""

    name: str
    """As the column is called; ends in the unit."""
    unit: str
    low: float
    high: float
    other_units: Mapping[str, float] = field(default_factory=lambda: _NO_UNITS)
    """Another unit in use -> what to multiply by."""


_PER_UL = MappingProxyType({"/uL": 0.001})

LABORATORY_VALUES = (
    LaboratoryValue("age", "years", 0, 120, MappingProxyType({"months": 1 / 12, "days": 1 / 365.25})),
    LaboratoryValue("WBC_G_L", "G/L", 0.01, 1500, _PER_UL),
    LaboratoryValue("MCV_fL", "fL", 50, 150),
    LaboratoryValue("MCHC_g_L", "g/L", 200, 420, MappingProxyType({"g/dL": 10.0, "mmol/L": 16.114})),
    LaboratoryValue("ANC_percent", "%", 0, 100, MappingProxyType({"fraction": 100.0})),
    LaboratoryValue("ANC_G_L", "G/L", 0, 500, _PER_UL),
    LaboratoryValue("Lymphocytes_percent", "%", 0, 100, MappingProxyType({"fraction": 100.0})),
    LaboratoryValue("Lymphocytes_G_L", "G/L", 0, 1000, _PER_UL),
    LaboratoryValue("Monocytes_percent", "%", 0, 100, MappingProxyType({"fraction": 100.0})),
    LaboratoryValue("Monocytes_G_L", "G/L", 0, 500, _PER_UL),
    LaboratoryValue("Platelets_G_L", "G/L", 0, 3000, _PER_UL),
    LaboratoryValue("PT_percent", "%", 5, 160, MappingProxyType({"fraction": 100.0})),
    LaboratoryValue("Fibrinogen_g_L", "g/L", 0.1, 20, MappingProxyType({"mg/dL": 0.01, "umol/L": 0.34})),
    LaboratoryValue("LDH_UI_L", "U/L", 30, 50000, MappingProxyType({"ukat/L": 59.98})),
)
"""In the order of AIPAL (Alcazar et al., Lancet Digit Health 2024). PT is the prothrombin activity, not the INR."""

NAMES = tuple(value.name for value in LABORATORY_VALUES)

_PERCENTAGES = (
    ("ANC_percent", "ANC_G_L"),
    ("Lymphocytes_percent", "Lymphocytes_G_L"),
    ("Monocytes_percent", "Monocytes_G_L"),
)


@dataclass(frozen=True, slots=True)
class CheckedValues:
    """Values that can be, and what was wrong with the others."""

    values: NDArray[np.float64]
    """(N, 14) in the order and units of LABORATORY_VALUES; NaN is missing."""
    notes: tuple[str, ...]


def check_values(
    columns: Mapping[str, NDArray[np.float64]], where: str, *, units: Mapping[str, str] = MappingProxyType({})
) -> CheckedValues:
    """Return ``columns`` (name -> N values, NaN missing) in our order and units; absent columns are missing values.

    ``units`` names the unit of each column that is in another one than its name says. UserError, opening with
    ``where``, for a name or unit that is not known, no known column at all, and a column of which more than
    LARGEST_SHARE_IMPOSSIBLE cannot be, or whose percentages do not agree with the absolute counts: it is in another
    unit. Fewer impossible values are set to missing, each column with a note.
    """
    for name in (*columns, *units):
        if name not in NAMES:
            raise UserError(
                f"{where}: no laboratory value is called {name!r}{_meant(name)}; known: {', '.join(NAMES)}."
            )
    if not columns:
        raise UserError(f"{where}: holds none of the laboratory values {', '.join(NAMES)}.")
    size = len(next(iter(columns.values())))
    values = np.full((size, len(NAMES)), np.nan)
    notes = [f"{where}: no column {name}; taken for missing." for name in NAMES if name not in columns]
    for place, value in enumerate(LABORATORY_VALUES):
        if value.name in columns:
            raw = np.asarray(columns[value.name], dtype=np.float64) * _factor(value, units.get(value.name), where)
            values[:, place], note = _possible(raw, value, where)
            notes += [note] if note else []
    return CheckedValues(values, (*notes, *_agreeing(values, where)))


def column(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return the column of ``name`` of (N, 14) values."""
    return values[:, NAMES.index(name)]


def _meant(name: str) -> str:
    close = get_close_matches(name.casefold(), [n.casefold() for n in NAMES], n=1, cutoff=0.5)
    found = [n for n in NAMES if close and n.casefold() == close[0]]
    return f" (perhaps {found[0]})" if found else ""


def _factor(value: LaboratoryValue, unit: str | None, where: str) -> float:
    if unit is None or unit == value.unit:
        return 1.0
    if unit not in value.other_units:
        known = ", ".join((value.unit, *value.other_units))
        raise UserError(f"{where}: {value.name} cannot be given in {unit!r}; known units are {known}.")
    return value.other_units[unit]


def _possible(raw: NDArray[np.float64], value: LaboratoryValue, where: str) -> tuple[NDArray[np.float64], str]:
    given = ~np.isnan(raw)
    wrong = given & ~((raw >= value.low) & (raw <= value.high))
    span = f"{value.low:g} to {value.high:g} {value.unit}"
    if wrong.sum() > LARGEST_SHARE_IMPOSSIBLE * given.sum():
        example = raw[wrong][0]
        raise UserError(
            f"{where}: {value.name} holds {int(wrong.sum())} of {int(given.sum())} values outside of {span}, "
            f"such as {example:g}{_looks_like(raw[given], value)}; correct the values or name the column's unit."
        )
    note = (
        f"{where}: {value.name}: {int(wrong.sum())} value(s) outside of {span} set to missing." if wrong.any() else ""
    )
    return np.where(wrong, np.nan, raw), note


def _looks_like(given: NDArray[np.float64], value: LaboratoryValue) -> str:
    for unit, factor in value.other_units.items():
        converted = given * factor
        if ((converted >= value.low) & (converted <= value.high)).mean() >= 1 - LARGEST_SHARE_IMPOSSIBLE:
            return f", which look like {unit}"
    return ""


def _agreeing(values: NDArray[np.float64], where: str) -> list[str]:
    """Check percentages against absolute counts in place; what exceeds the leucocytes is set to missing."""
    notes, wbc = [], column(values, "WBC_G_L")
    for percent, absolute in _PERCENTAGES:
        given, count = column(values, percent), column(values, absolute)
        computed = 100 * count / wbc
        usable = (given > 0) & (computed > 0)
        ratio = float(np.median(given[usable] / computed[usable])) if usable.sum() >= 10 else 1.0
        if not RATIO_AGREES[0] <= ratio <= RATIO_AGREES[1]:
            raise UserError(
                f"{where}: {percent} is {ratio:.3g} times what {absolute} and WBC_G_L make it; "
                "one of the three is in another unit: name it."
            )
        over = computed > 100 + _ROUNDING
        if over.any():
            count[over] = given[over] = np.nan
            notes.append(f"{where}: {absolute}: {int(over.sum())} count(s) above all leucocytes set to missing.")
    return notes
