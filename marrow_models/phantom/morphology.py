"""The table of cell appearances: what each label of the taxonomy looks like under Giemsa stain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

# Traits stay within this many standard deviations, so that no cell is a caricature of its kind.
_CUT_SD = 2.2


@dataclass(frozen=True, slots=True)
class Trait:
    """A quantity that varies between cells of one kind as a truncated normal distribution."""

    mean: float
    sd: float

    def sample(self, rng: np.random.Generator) -> float:
        """One cell's value."""
        return self.mean + self.sd * max(-_CUT_SD, min(_CUT_SD, float(rng.standard_normal())))


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number drawn evenly from ``least`` to ``most``, both included."""

    least: int
    most: int

    def sample(self, rng: np.random.Generator) -> int:
        """One cell's number."""
        return self.least if self.least == self.most else int(rng.integers(self.least, self.most + 1))


@dataclass(frozen=True, slots=True)
class Nucleus:
    """The outline of a nucleus: a chain of discs along an arc (see :mod:`marrow_models.phantom.nuclei`)."""

    slenderness: Trait
    """Length of the centre line over the width: 0 is round, about 1 a kidney, 2.5 a band."""
    span_deg: Trait
    """Angle through which the centre line bends."""
    lobes: Count
    constriction: Trait
    """How far the width drops between lobes: 0 not at all, 1 to nothing."""
    irregularity: float
    """Amplitude of the outline's waviness as a part of the width."""
    eccentricity: Trait
    """Distance from the cell's centre as a part of the room there is: 0 central, 1 touching the membrane."""
    edge_um: float


@dataclass(frozen=True, slots=True)
class Chromatin:
    """Colour and texture of a nucleus."""

    colour: Colour
    scale_um: float
    """Size of the clumps (standard deviation of the smoothing of the noise)."""
    contrast: Trait
    rim: float
    """Darkening at the nuclear membrane."""


@dataclass(frozen=True, slots=True)
class Nucleoli:
    """Pale bodies in the nucleus."""

    count: Count
    diameter_um: Trait
    visibility: Trait


@dataclass(frozen=True, slots=True)
class Cytoplasm:
    """Colour and inclusions of the cytoplasm."""

    colour: Colour
    edge: float
    """Deepening of the colour towards the membrane."""
    mottling: float
    hof: Trait
    """Strength of the pale zone beside the nucleus (Golgi): 0 none, 1 white."""
    vacuoles: Count
    vacuole_um: Trait


@dataclass(frozen=True, slots=True)
class Granules:
    """Granules of one kind."""

    colour: Colour
    diameter_um: float
    per_um2: Trait
    opacity: float
    over_nucleus: float
    """How strongly granules show where they lie over the nucleus."""


@dataclass(frozen=True, slots=True)
class Morphology:
    """How cells of one label look."""

    label: str
    diameter_um: Trait
    elongation: Trait
    irregularity: float
    edge_um: float
    nuclear_fraction: Trait
    """Area of the nucleus over the area of the cell."""
    nucleus: Nucleus
    chromatin: Chromatin
    nucleoli: Nucleoli
    cytoplasm: Cytoplasm
    granules: Granules
    auer_rod: float
    """Probability that the cell holds an Auer rod."""


def _trait(pair: list[float]) -> Trait:
    mean, sd = pair
    return Trait(float(mean), float(sd))


def _count(pair: list[int]) -> Count:
    least, most = pair
    return Count(int(least), int(most))


def _colour(triple: list[int]) -> Colour:
    red, green, blue = triple
    return int(red), int(green), int(blue)


def _merged(default: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    unknown = row.keys() - default.keys()
    if unknown:
        raise ValueError(f"morphology.json: unknown trait {sorted(unknown)}")
    return {
        key: _merged(value, row.get(key, {})) if isinstance(value, dict) else row.get(key, value)
        for key, value in default.items()
    }


def _morphology(label: str, row: Mapping[str, Any]) -> Morphology:
    nucleus, chromatin, nucleoli = row["nucleus"], row["chromatin"], row["nucleoli"]
    cytoplasm, granules = row["cytoplasm"], row["granules"]
    return Morphology(
        label=label,
        diameter_um=_trait(row["diameter_um"]),
        elongation=_trait(row["elongation"]),
        irregularity=row["irregularity"],
        edge_um=row["edge_um"],
        nuclear_fraction=_trait(row["nuclear_fraction"]),
        nucleus=Nucleus(
            _trait(nucleus["slenderness"]),
            _trait(nucleus["span_deg"]),
            _count(nucleus["lobes"]),
            _trait(nucleus["constriction"]),
            nucleus["irregularity"],
            _trait(nucleus["eccentricity"]),
            nucleus["edge_um"],
        ),
        chromatin=Chromatin(
            _colour(chromatin["colour"]), chromatin["scale_um"], _trait(chromatin["contrast"]), chromatin["rim"]
        ),
        nucleoli=Nucleoli(_count(nucleoli["count"]), _trait(nucleoli["diameter_um"]), _trait(nucleoli["visibility"])),
        cytoplasm=Cytoplasm(
            _colour(cytoplasm["colour"]),
            cytoplasm["edge"],
            cytoplasm["mottling"],
            _trait(cytoplasm["hof"]),
            _count(cytoplasm["vacuoles"]),
            _trait(cytoplasm["vacuole_um"]),
        ),
        granules=Granules(
            _colour(granules["colour"]),
            granules["diameter_um"],
            _trait(granules["per_um2"]),
            granules["opacity"],
            granules["over_nucleus"],
        ),
        auer_rod=row["auer_rod"],
    )


@cache
def morphologies() -> Mapping[str, Morphology]:
    """Return the appearance of every label that phantoms hold, in the order of ``morphology.json``."""
    table = json.loads(files("marrow_models.phantom").joinpath("morphology.json").read_text("utf-8"))
    return {label: _morphology(label, _merged(table["default"], row)) for label, row in table["labels"].items()}
