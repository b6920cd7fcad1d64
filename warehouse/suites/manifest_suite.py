"""The manifest: the second look at what :mod:`warehouse.manifest` took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.core.expect_column_values_to_be_unique import ExpectColumnValuesToBeUnique
from great_expectations.expectations.core.expect_table_row_count_to_be_between import ExpectTableRowCountToBeBetween

from warehouse.suites.parts import between, complete

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

NAME = "manifest"
COLUMNS = ("file", "patient_id", "specimen", "stain", "age_years", "sex", "um_per_px")


def expectations() -> list[Expectation]:
    """What must hold of a frame made by :func:`warehouse.frames.manifest_frame`."""
    return [
        ExpectTableRowCountToBeBetween(min_value=1),
        *complete(("file", "patient_id", "specimen")),
        ExpectColumnValuesToBeUnique(column="file"),
        ExpectColumnValuesToBeInSet(column="specimen", value_set=["bone_marrow", "blood"]),
        ExpectColumnValuesToBeInSet(column="sex", value_set=["female", "male", "other", "unknown"]),
        between("age_years", 0, 130),
        between("um_per_px", 0.01, 10),
    ]
