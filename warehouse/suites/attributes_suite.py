"""The morphology of one slide's cells, before it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.core.expect_compound_columns_to_be_unique import ExpectCompoundColumnsToBeUnique
from great_expectations.expectations.core.expect_table_row_count_to_equal import ExpectTableRowCountToEqual

from warehouse.suites.parts import between, complete, parameter

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

NAME = "attributes"
COLUMNS = ("cell_id", "attribute", "told", "confidence")
PARAMETERS = ("values", "rows")


def expectations() -> list[Expectation]:
    """What must hold of a frame made by :func:`warehouse.frames.attributes_frame`; a slide without cells passes."""
    return [
        *complete(COLUMNS),
        ExpectTableRowCountToEqual(value=parameter("rows")),
        ExpectCompoundColumnsToBeUnique(column_list=["cell_id", "attribute"]),
        ExpectColumnValuesToBeInSet(column="told", value_set=parameter("values")),
        between("confidence", 0, 1),
    ]
