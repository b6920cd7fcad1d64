"""What the suites are made of. Great Expectations passes over nulls, so every column says that it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull

if TYPE_CHECKING:
    from collections.abc import Iterable

    from great_expectations.expectations.expectation import Expectation

Bound = float | dict[str, str] | None
"""A number, a parameter, or no bound."""


def parameter(name: str) -> dict[str, str]:
    """A value that is given when the suite runs."""
    return {"$PARAMETER": name}


def complete(columns: Iterable[str]) -> list[Expectation]:
    """No value is missing (NaN counts as missing) in any of the columns."""
    return [ExpectColumnValuesToNotBeNull(column=column) for column in columns]


def between(column: str, low: Bound, high: Bound, *, above: bool = False) -> Expectation:
    """Every value of the column is from ``low`` (``above``: excluded) to ``high``; infinities are outside."""
    return ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, strict_min=above)
