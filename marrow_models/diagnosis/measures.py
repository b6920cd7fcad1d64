"""The quantities of a differential that rules may speak of, each with its interval. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marrow_models.diagnosis.differential import share
from marrow_models.taxonomy import ICSH_CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from marrow_models.diagnosis.differential import Differential, Share
    from marrow_models.diagnosis.intervals import Interval


@dataclass(frozen=True, slots=True)
class Measurement:
    """One quantity of one differential. ``value`` is exact, ``shown`` is rounded as in the report's table."""

    title: str
    value: float
    shown: float
    interval: Interval
    count: int
    other: int
    """All cells counted, or for a ratio its second part."""
    unit: str
    """``" %"``, or empty for a ratio."""

    def sentence(self, decimals: int = 1) -> str:
        """Return e.g. ``Blasts 64.2 % (321 of 500; 95 % interval 59.9-68.3)``."""
        value = self.shown if decimals == 1 else self.value
        word, low, high = "of" if self.unit else "to", self.interval.low, self.interval.high
        counts = f"{self.count} {word} {self.other}; 95 % interval {low:.1f}-{high:.1f}"
        return f"{self.title} {value:.{decimals}f}{self.unit} ({counts})"


def _of_share(title: str, part: Share) -> Measurement:
    exact = 100 * part.count / part.total if part.total else 0.0
    return Measurement(title, exact, part.percent, part.interval, part.count, part.total, " %")


def _blasts(d: Differential) -> Measurement | None:
    return _of_share("Blasts", d.blasts.share)


def _lymphoid_blasts(d: Differential) -> Measurement | None:
    count = d.blasts.by_lineage.get("lymphoid", 0)
    every = d.blasts.share
    return _of_share("Lymphoid blasts", every if count == every.count else share(count, d.total))


def _non_lymphoid_blasts(d: Differential) -> Measurement | None:
    every, lymphoid = d.blasts.share, d.blasts.by_lineage.get("lymphoid", 0)
    if not lymphoid:
        return _of_share("Blasts", every)
    return _of_share("Blasts other than lymphoid", share(every.count - lymphoid, d.total))


def _non_lymphoid_blasts_and_equivalents(d: Differential) -> Measurement | None:
    """Count the equivalents that were left out as well; None when that changes nothing."""
    if not d.blasts.equivalents_left_out:
        return None
    lymphoid = d.blasts.by_lineage.get("lymphoid", 0)
    count = d.blasts.share.count - lymphoid + d.blasts.equivalents_left_out
    title = "Blasts other than lymphoid and blast equivalents" if lymphoid else "Blasts and blast equivalents"
    return _of_share(title, share(count, d.total))


def _me_ratio(d: Differential) -> Measurement | None:
    ratio, interval = d.me_ratio, d.me_interval
    if ratio is None or interval is None:
        return None
    return Measurement("M:E", ratio, round(ratio, 1), interval, d.myeloid, d.erythroid, "")


def _category(name: str) -> Callable[[Differential], Measurement | None]:
    title = name.replace("_", " ").capitalize() + "s"

    def measure(d: Differential) -> Measurement | None:
        part = d.categories.get(name)
        return None if part is None else _of_share(title, part)

    return measure


MEASURES: dict[str, Callable[[Differential], Measurement | None]] = {
    **{name: _category(name) for name in ICSH_CATEGORIES},
    "blasts": _blasts,
    "lymphoid_blasts": _lymphoid_blasts,
    "non_lymphoid_blasts": _non_lymphoid_blasts,
    "non_lymphoid_blasts_and_equivalents": _non_lymphoid_blasts_and_equivalents,
    "me_ratio": _me_ratio,
}
"""Name in a rule -> the measurement; it is None where the differential does not have it."""
