"""A FAB-like L1, L2 or L3 hint from the seven morphology attributes of a patient's lymphoblasts. Historical.

Criteria: Bennett et al., Br J Haematol 1976;33:451-458, as far as the two or three steps of each attribute of the
LeukemiaAttri data set can say them. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from marrow_models.diagnosis.intervals import Interval, wilson_interval
from marrow_models.errors import UserError

ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cell_size": ("small", "medium", "large"),
        "nuclear_chromatin": ("open", "coarse"),
        "nuclear_shape": ("regular", "irregular"),
        "nucleus": ("inconspicuous", "prominent"),
        "cytoplasm": ("scanty", "abundant"),
        "cytoplasmic_basophilia": ("slight", "moderate"),
        "cytoplasmic_vacuoles": ("absent", "prominent"),
    }
)
"""Attribute -> its values; ``nucleus`` is the nucleolus, as the data set calls it."""

CRITERIA: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "L1": {
            "cell_size": "small",
            "nuclear_shape": "regular",
            "nucleus": "inconspicuous",
            "cytoplasm": "scanty",
        },
        "L2": {"cell_size": "large", "nuclear_shape": "irregular", "nucleus": "prominent"},
        "L3": {
            "cell_size": "large",
            "nuclear_chromatin": "open",
            "nuclear_shape": "regular",
            "nucleus": "prominent",
            "cytoplasm": "abundant",
            "cytoplasmic_basophilia": "moderate",
            "cytoplasmic_vacuoles": "prominent",
        },
    }
)
"""Type -> attribute -> the value that fits. An attribute that FAB calls variable is no criterion.

``moderate`` is the deepest basophilia that the attributes know, so it has to stand for the deep one of L3.
"""

NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType({"L3": ("cytoplasmic_basophilia", "cytoplasmic_vacuoles")})
"""Criteria without which a type is not named, however well the others fit."""

LEAST_ATTRIBUTES = 4
"""Known ones that a cell needs, of seven."""
LEAST_KNOWN_CRITERIA = 3
"""Known criteria that a type needs to be named."""
LEAST_SCORE = 2 / 3
"""Share of the known criteria that have to fit."""
LEAST_CELLS = 20
"""Cells with enough attributes that a patient needs."""

HISTORICAL = (
    "FAB-like morphology, historical: WHO replaced the FAB types of ALL, and this is not a diagnosis. "
    "Immunophenotype and genetics decide."
)
BURKITT = "L3-like cells are those of Burkitt lymphoma or leukaemia, a mature B-cell disease that is not ALL in WHO."


class HintState(StrEnum):
    """What the patient's cells allow to say."""

    HINT = "hint"
    """One type is that of more than half of the cells, its whole interval above a half."""
    MIXED = "mixed"
    """No type is."""
    NOT_ENOUGH = "not_enough_attributes"
    """Too few cells have enough attributes."""


@dataclass(frozen=True, slots=True)
class TypeScore:
    """How one cell meets the criteria of one type, by attribute."""

    fits: tuple[str, ...]
    misses: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def score(self) -> float | None:
        """Share of the known criteria that fit; None when none is known."""
        known = len(self.fits) + len(self.misses)
        return len(self.fits) / known if known else None


@dataclass(frozen=True, slots=True)
class CellHint:
    """One lymphoblast."""

    known: int
    """Attributes that are known, of seven."""
    scores: Mapping[str, TypeScore]
    """L1, L2, L3."""
    type: str | None
    """The one type that fits best and well enough; None otherwise."""

    @property
    def enough(self) -> bool:
        """Whether enough attributes are known for the cell to count."""
        return self.known >= LEAST_ATTRIBUTES


@dataclass(frozen=True, slots=True)
class TypeShare:
    """Cells of one type among those with enough attributes. Percent with a 95 % interval (Wilson)."""

    count: int
    percent: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class FabHint:
    """The hint for a patient. Never a diagnosis: ``text`` says so and has to be shown with it."""

    state: HintState
    type: str | None
    """Given for HINT only."""
    cells: int
    """Lymphoblasts with enough attributes."""
    left_out: int
    """Lymphoblasts without."""
    shares: Mapping[str, TypeShare]
    """L1, L2, L3; what is left is of no type."""
    text: str


def score_cell(attributes: Mapping[str, str]) -> CellHint:
    """Return how a lymphoblast meets the criteria; attributes that are not known are left out of ``attributes``.

    UserError for an attribute or a value that is not one of ATTRIBUTES.
    """
    for name, value in attributes.items():
        if name not in ATTRIBUTES:
            raise UserError(f"no attribute {name!r} is known to the FAB hint; it takes {', '.join(ATTRIBUTES)}.")
        if value not in ATTRIBUTES[name]:
            raise UserError(f"{name} must be one of {', '.join(ATTRIBUTES[name])}, not {value!r}.")
    scores = {name: _score(criteria, attributes) for name, criteria in CRITERIA.items()}
    return CellHint(len(attributes), scores, _best(scores) if len(attributes) >= LEAST_ATTRIBUTES else None)


def fab_hint(lymphoblasts: Sequence[Mapping[str, str]]) -> FabHint:
    """Return the hint for a patient from the attributes of all of their lymphoblasts (and of no other cell)."""
    scored = [score_cell(cell) for cell in lymphoblasts]
    types = [cell.type for cell in scored if cell.enough]
    total = len(types)
    shares = {name: _share(types.count(name), total) for name in CRITERIA}
    leading = max(shares, key=lambda name: shares[name].count)
    if total < LEAST_CELLS:
        state = HintState.NOT_ENOUGH
    else:
        state = HintState.HINT if shares[leading].interval.low > 50 else HintState.MIXED
    named = leading if state is HintState.HINT else None
    return FabHint(state, named, total, len(scored) - total, shares, _text(state, named, total, shares))


def _score(criteria: Mapping[str, str], attributes: Mapping[str, str]) -> TypeScore:
    known = {name: attributes[name] == value for name, value in criteria.items() if name in attributes}
    return TypeScore(
        fits=tuple(name for name, met in known.items() if met),
        misses=tuple(name for name, met in known.items() if not met),
        unknown=tuple(name for name in criteria if name not in attributes),
    )


def _best(scores: Mapping[str, TypeScore]) -> str | None:
    values = {
        name: own.score
        for name, own in scores.items()
        if own.score is not None
        and own.score >= LEAST_SCORE
        and len(own.fits) + len(own.misses) >= LEAST_KNOWN_CRITERIA
        and set(NEEDED.get(name, ())) <= set(own.fits)
    }
    top = [name for name, value in values.items() if value == max(values.values())]
    return top[0] if len(top) == 1 else None


def _share(count: int, total: int) -> TypeShare:
    return TypeShare(count, 100 * count / total if total else 0.0, wilson_interval(count, total))


def _text(state: HintState, named: str | None, total: int, shares: Mapping[str, TypeShare]) -> str:
    if state is HintState.NOT_ENOUGH:
        few = f"Not enough attributes: {total} lymphoblasts have {LEAST_ATTRIBUTES} or more of the seven"
        return f"{few}; {LEAST_CELLS} are needed. {HISTORICAL}"
    counts = ", ".join(
        f"{name} {s.percent:.0f} % ({s.count} of {total}; 95 % interval {s.interval.low:.0f}-{s.interval.high:.0f})"
        for name, s in shares.items()
    )
    first = f"The lymphoblasts look {named}-like" if named else "The lymphoblasts are of no one FAB-like type"
    return " ".join(part for part in (f"{first}: {counts}.", BURKITT if named == "L3" else "", HISTORICAL) if part)
