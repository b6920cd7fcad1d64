"""Micrometres per pixel: what a file states, and whether it can be believed."""

from __future__ import annotations

import math
import re

from marrow_models.errors import Reason, SlideRefused

MIN_UM_PER_PX = 0.02
MAX_UM_PER_PX = 50.0
"""Coarser than any level of a pyramid that a microscope writes: 10 um and more are overview levels."""
MAX_ANISOTROPY = 0.05
"""Pixels that differ more between x and y would distort every measured cell."""
MAX_OBJECTIVE_POWER = 1000.0
RESOLUTION_TAG_RANGE = (0.05, 5.0)
"""Resolution tags of TIFF hold print sizes such as 72 dpi (353 um) as often as the truth: believed in here only."""

_UM_PER_UNIT = {
    "": 1.0, "µm": 1.0, "um": 1.0, "μm": 1.0, "micron": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6,
}  # fmt: skip
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?")


def parse_decimal(text: str) -> float | None:
    """Read a number with a decimal point or a decimal comma; None if ``text`` is no number."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    return float(text.replace(",", "."))


def to_micrometres(value: float, unit: str) -> float | None:
    """Convert a length in an OME unit to micrometres; None for a unit that is no length (such as "pixel")."""
    factor = _UM_PER_UNIT.get(unit.strip())
    return None if factor is None else value * factor


def stated(x: float | None, y: float | None) -> tuple[float, float] | None:
    """Pair what a file says of x and y: one value serves both; zero, infinite and absent mean "not stated"."""
    values = [v if v is not None and math.isfinite(v) and v != 0 else None for v in (x, y)]
    x, y = values[0] or values[1], values[1] or values[0]
    return None if x is None or y is None else (x, y)


def from_resolution_tags(x_per_unit: float, y_per_unit: float, unit: int) -> tuple[float, float] | None:
    """Micrometres per pixel from TIFF resolution tags (unit 2 inch, 3 cm); None unless a microscope could have them."""
    um_per_unit = {2: 25_400.0, 3: 10_000.0}.get(unit)
    if um_per_unit is None or x_per_unit <= 0 or y_per_unit <= 0:
        return None
    pair = um_per_unit / x_per_unit, um_per_unit / y_per_unit
    low, high = RESOLUTION_TAG_RANGE
    return pair if all(low <= value <= high for value in pair) else None


def checked(pair: tuple[float, float]) -> float:
    """Return the one um/px of a slide from its values along x and y.

    Raises
    ------
    SlideRefused
        BAD_MPP: outside the possible, or x and y differ by more than 5 %.
    """
    x, y = pair
    if not all(math.isfinite(v) and MIN_UM_PER_PX <= v <= MAX_UM_PER_PX for v in pair):
        raise SlideRefused(Reason.BAD_MPP, f"{x:.6g} x {y:.6g} um/px")
    if abs(x - y) > MAX_ANISOTROPY * min(x, y):
        raise SlideRefused(Reason.BAD_MPP, f"{x:.6g} um/px along x, {y:.6g} along y")
    return x if x == y else (x + y) / 2


def believable_power(value: float | None) -> float | None:
    """The magnification of an objective, None for what is absent or cannot be."""
    return value if value is not None and 0 < value <= MAX_OBJECTIVE_POWER else None


def believable(pair: tuple[float, float] | None) -> float | None:
    """Like :func:`checked`, but None for what is absent or cannot be."""
    try:
        return None if pair is None else checked(pair)
    except SlideRefused:
        return None


def resolve(pair: tuple[float, float] | None, given: float | None) -> float:
    """Choose the um/px of a slide: what the manifest gives wins over what the file states.

    Raises
    ------
    SlideRefused
        NO_MPP where neither says, BAD_MPP where the one that counts is impossible.
    """
    if given is not None:
        return checked((given, given))
    if pair is None:
        raise SlideRefused(Reason.NO_MPP)
    return checked(pair)
