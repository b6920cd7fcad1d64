"""The night as a whole, before anything of it is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.suites.parts import between, complete, parameter

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

NAME = "night"
COLUMNS = (
    "discovered",
    "done",
    "quarantined",
    "deferred",
    "unaccounted",
    "quarantined_share",
    "worst_percent_error",
    "worst_slide_percent_error",
    "faults",
)
PARAMETERS = ("least_discovered", "largest_quarantined_share")
PERCENT_TOLERANCE = 0.1


def expectations() -> list[Expectation]:
    """What must hold of the one-row frame made by :func:`warehouse.frames.night_frame`."""
    return [
        *complete(COLUMNS),
        between("discovered", parameter("least_discovered"), None),
        between("unaccounted", 0, 0),
        between("quarantined_share", 0, parameter("largest_quarantined_share")),
        between("worst_percent_error", 0, PERCENT_TOLERANCE),
        between("worst_slide_percent_error", 0, PERCENT_TOLERANCE),
        between("faults", 0, 0),
    ]
