"""How sure a percentage is, and how percentages are rounded so that a report adds up. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from marrow_models.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95
"""Two-sided confidence of every interval that Marrow reports."""

_TENTHS = 1000  # of a percent in a whole


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval, ``low`` <= ``high``, in the unit of the value it belongs to."""

    low: float
    high: float

    def spans(self, threshold: float) -> bool:
        """Return whether values on both sides of ``threshold`` are inside: low < threshold <= high."""
        return self.low < threshold <= self.high


def wilson_interval(count: int, total: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of ``count`` out of ``total`` cells, in percent; 0 to 100 when nothing was counted.

    Wilson's score interval (J Am Stat Assoc 1927;22:209-212), without continuity correction: it keeps
    its coverage for the few blasts of a normal marrow, where the textbook interval reaches below zero.
    """
    if not 0 <= count <= total:
        raise UserError(f"a count of {count} out of {total} cells is impossible.")
    if not 0 < confidence < 1:
        raise UserError(f"a confidence must lie between 0 and 1, not {confidence}.")
    if total == 0:
        return Interval(0.0, 100.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, shrink = count / total, 1 + z * z / total
    centre = (share + z * z / (2 * total)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the two ends the exact bound is the end itself; only rounding keeps the formula off it.
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == total else min(1.0, centre + half)
    return Interval(100 * low, 100 * high)


def ratio_interval(count: int, other: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of the ratio ``count``:``other``, from Wilson's interval of count / (count + other).

    The upper end is infinite where the data do not bound it.
    """
    share = wilson_interval(count, count + other, confidence=confidence)
    return Interval(*(math.inf if p >= 100 else p / (100 - p) for p in (share.low, share.high)))


def rounded_percentages(counts: Sequence[int]) -> tuple[float, ...]:
    """Return the share of each count in percent, in steps of 0.1, adding up to 100.0 (zeros if nothing was counted).

    Largest-remainder rounding; of equal remainders the first is raised. The tenths add up exactly;
    binary floating point may show in the last digit when the results are summed as floats.
    """
    if any(count < 0 for count in counts):
        raise UserError("a count of cells cannot be negative.")
    total = sum(counts)
    if total == 0:
        return tuple(0.0 for _ in counts)
    tenths = [count * _TENTHS // total for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda i: (-(counts[i] * _TENTHS % total), i))
    for i in by_remainder[: _TENTHS - sum(tenths)]:
        tenths[i] += 1
    return tuple(t / 10 for t in tenths)
