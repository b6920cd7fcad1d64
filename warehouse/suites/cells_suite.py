"""The cells of one slide, before they are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.core.expect_column_values_to_be_unique import ExpectColumnValuesToBeUnique
from great_expectations.expectations.core.expect_compound_columns_to_be_unique import ExpectCompoundColumnsToBeUnique

from warehouse.suites.parts import between, complete, parameter

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

NAME = "cells"
COLUMNS = (
    "cell_id",
    "field_id",
    "x_um",
    "y_um",
    "width_um",
    "height_um",
    "cell_class",
    "confidence",
    "detection_score",
    "probability_sum",
    "least_probability",
)
PARAMETERS = ("slide_width_um", "slide_height_um", "labels", "fields")
MIN_SIZE_UM = 1.0
MAX_SIZE_UM = 120.0
"""A megakaryocyte reaches 100 um; a wider box is not one cell."""
SUM_TOLERANCE = 1e-3


def expectations() -> list[Expectation]:
    """What must hold of a frame made by :func:`warehouse.frames.cells_frame`; a slide without cells passes."""
    return [
        *complete(COLUMNS),
        ExpectColumnValuesToBeUnique(column="cell_id"),
        ExpectCompoundColumnsToBeUnique(column_list=["x_um", "y_um"]),
        ExpectColumnValuesToBeInSet(column="cell_class", value_set=parameter("labels")),
        ExpectColumnValuesToBeInSet(column="field_id", value_set=parameter("fields")),
        between("x_um", 0, parameter("slide_width_um")),
        between("y_um", 0, parameter("slide_height_um")),
        between("width_um", MIN_SIZE_UM, MAX_SIZE_UM),
        between("height_um", MIN_SIZE_UM, MAX_SIZE_UM),
        between("confidence", 0, 1 + SUM_TOLERANCE, above=True),
        between("detection_score", 0, 1),
        between("least_probability", 0, 1),
        between("probability_sum", 1 - SUM_TOLERANCE, 1 + SUM_TOLERANCE),
    ]
