"""Records as Arrow tables, the form in which rows reach DuckDB in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from marrow_models.records import CellTable
    from warehouse.records import CellClassRecord, DifferentialRow, FieldRecord

ROW_GROUP = 122_880
"""Rows that DuckDB keeps together, and that one of its threads takes at a time."""


def cells_table(cells: CellTable) -> pa.Table:
    """The cells with their number in the slide's order, class and confidence; N rows."""
    count = len(cells)
    probabilities = np.ascontiguousarray(cells.probabilities, np.float32)
    index = cells.class_index.astype(np.int32) if count else np.zeros(0, np.int32)
    confidence = probabilities[np.arange(count), index]
    offsets = np.arange(count + 1, dtype=np.int64) * len(cells.labels)
    table = pa.table(
        {
            "cell_id": pa.array(np.arange(count, dtype=np.int32)),
            "field_id": pa.array(cells.field_id),
            "x_um": pa.array(cells.x_um),
            "y_um": pa.array(cells.y_um),
            "width_um": pa.array(cells.width_um),
            "height_um": pa.array(cells.height_um),
            "cell_class": pa.DictionaryArray.from_arrays(pa.array(index), pa.array(cells.labels, pa.string())),
            # A probability may exceed 1 by the rounding of float32; more than that was refused before.
            "confidence": pa.array(np.minimum(confidence, np.float32(1))),
            "detection_score": pa.array(cells.detection_score),
            "probabilities": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(probabilities.reshape(-1))),
            "near_missing": pa.array(cells.near_missing),
        }
    )
    # One piece is read by one thread.
    return pa.Table.from_batches(table.to_batches(max_chunksize=ROW_GROUP), table.schema)


def attributes_table(cells: CellTable) -> pa.Table:
    """The morphology of the cells, one row a cell and attribute; a value that the attribute does not have is null."""
    attributes = cells.attributes
    told = attributes.values()
    values = [_dictionary(attribute.index, attribute.values) for attribute in told]
    return pa.table(
        {
            "cell_id": pa.array(np.tile(np.arange(len(cells), dtype=np.int32), len(attributes))),
            "attribute": pa.DictionaryArray.from_arrays(
                pa.array(np.repeat(np.arange(len(attributes), dtype=np.int32), len(cells))),
                pa.array(list(attributes), pa.string()),
            ),
            "value": pa.concat_arrays([pa.array([], pa.string()), *(array.dictionary_decode() for array in values)]),
            "confidence": pa.array(np.concatenate([np.zeros(0, np.float32), *(a.confidence for a in told)])),
        }
    )


def _dictionary(index: NDArray[np.int8], values: tuple[str, ...]) -> pa.DictionaryArray:
    """Values by their place; null for a place that is that of no value."""
    known = (index >= 0) & (index < len(values))
    places = pa.array(np.where(known, index, 0).astype(np.int32), mask=~known)
    return pa.DictionaryArray.from_arrays(places, pa.array(values, pa.string()))


def attribute_values_table(values: Mapping[str, tuple[str, ...]]) -> pa.Table:
    """The values of every attribute, in their order."""
    rows = [
        (name, value, attribute, place)
        for attribute, (name, names) in enumerate(values.items())
        for place, value in enumerate(names)
    ]
    return pa.table(
        {
            "attribute": pa.array([row[0] for row in rows], pa.string()),
            "value": pa.array([row[1] for row in rows], pa.string()),
            "attribute_position": pa.array([row[2] for row in rows], pa.int32()),
            "value_position": pa.array([row[3] for row in rows], pa.int32()),
        }
    )


def fields_table(fields: Sequence[FieldRecord], um_per_px: float) -> pa.Table:
    """The fields in pixels and in micrometres."""
    rects = [f.field.rect_px for f in fields]
    sides = {
        "x": [r.x for r in rects],
        "y": [r.y for r in rects],
        "width": [r.width for r in rects],
        "height": [r.height for r in rects],
    }
    return pa.table(
        {
            "field_id": pa.array([f.field.field_id for f in fields], pa.int32()),
            **{f"{side}_px": pa.array(values, pa.int64()) for side, values in sides.items()},
            **{f"{side}_um": pa.array([v * um_per_px for v in values], pa.float64()) for side, values in sides.items()},
            "expected_cells": pa.array([f.field.expected_cells for f in fields], pa.float64()),
            "found_cells": pa.array([f.found for f in fields], pa.int32()),
            "readability": pa.array([f.field.readability for f in fields], pa.float64()),
        }
    )


def classes_table(classes: Sequence[CellClassRecord]) -> pa.Table:
    """The classes of a taxonomy in their order."""
    texts = ("label", "title", "code", "code_system", "category", "lineage", "in_me", "excluded_as")
    return pa.table(
        {
            **{name: pa.array([getattr(c, name) for c in classes], pa.string()) for name in texts},
            "in_differential": pa.array([c.in_differential for c in classes], pa.bool_()),
            "position": pa.array(range(len(classes)), pa.int32()),
        }
    )


def laboratory_table(values: Sequence[tuple[str, float]]) -> pa.Table:
    """Laboratory values."""
    return pa.table(
        {
            "name": pa.array([name for name, _ in values], pa.string()),
            "value": pa.array([value for _, value in values], pa.float64()),
        }
    )


def differential_table(rows: Sequence[DifferentialRow]) -> pa.Table:
    """The categories of a differential in the order of a report."""
    return pa.table(
        {
            "category": pa.array([r.category for r in rows], pa.string()),
            "position": pa.array(range(len(rows)), pa.int32()),
            "cells": pa.array([r.cells for r in rows], pa.int32()),
            "percent": pa.array([r.percent for r in rows], pa.float64()),
            "low": pa.array([r.low for r in rows], pa.float64()),
            "high": pa.array([r.high for r in rows], pa.float64()),
        }
    )
