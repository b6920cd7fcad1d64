"""Rows of the warehouse against rows that were computed again: what was added, lost, moved or changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from marrow_models.records import CellTable, Field
from warehouse.records import DiagnosisRecord, FieldRecord
from warehouse.staging import attributes_table, cells_table, fields_table
from warehouse.stored import StoredAnalysis, StoredDiagnosis

MOVED_UM = 5.0
"""A cell that is not where it was is looked for within this distance: about the radius of a nucleus."""
NOT_COMPARED = frozenset({"cell_id", "x_um", "y_um"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not what it should be."""

    of: str
    """The slide, or the patient's pseudonym."""
    row: str
    """Which row: ``cell 12``, ``field 3``, ``analysis``, ``differential blast``, ..."""
    what: str
    """``added`` (stored, but not found again), ``lost`` (found again, but not stored), ``moved``, or the column."""
    stored: Any
    computed: Any


def compare_cells(stored: StoredAnalysis, cells: CellTable) -> list[Difference]:
    """Every cell that differs, column by column; attributes included."""
    slide_id = stored.slide_id
    ours, theirs = stored.cell_rows, cells_table(cells)
    pairs, added, lost = _pair(ours, theirs)
    before, after = _columns(ours), _columns(theirs)
    found: list[Difference] = []
    for mine, again in pairs:
        name = f"cell {before['cell_id'][mine]}"
        places = [(columns["x_um"][at], columns["y_um"][at]) for columns, at in ((before, mine), (after, again))]
        if places[0] != places[1]:
            found.append(Difference(slide_id, name, "moved", places[0], places[1]))
        found += [
            Difference(slide_id, name, column, before[column][mine], after[column][again])
            for column in before
            if column not in NOT_COMPARED and before[column][mine] != after[column][again]
        ]
    for mine in added:
        found.append(Difference(slide_id, f"cell {before['cell_id'][mine]}", "added", _cell(before, mine), None))
    for again in lost:
        found.append(Difference(slide_id, f"cell {after['cell_id'][again]}", "lost", None, _cell(after, again)))
    if not added and not lost and sorted(before["cell_id"]) != list(range(len(ours))):
        found.append(Difference(slide_id, "cells", "cell_id", "not numbered 0, 1, 2, ...", "numbered"))
    numbers = {after["cell_id"][again]: before["cell_id"][mine] for mine, again in pairs}
    return found + _compare_attributes(stored, attributes_table(cells), numbers)


def compare_fields(
    stored: StoredAnalysis, fields: Sequence[Field], cells: CellTable, um_per_px: float
) -> list[Difference]:
    """Every field that differs, column by column."""
    counts = dict.fromkeys((field.field_id for field in fields), 0)
    for field_id in cells.field_id.tolist():
        counts[field_id] += 1
    again = fields_table([FieldRecord(field, counts[field.field_id]) for field in fields], um_per_px)
    return _by_key(stored.slide_id, "field", stored.field_rows.to_pylist(), again.to_pylist(), "field_id")


def compare_values(of: str, row: str, stored: Mapping[str, Any], computed: Mapping[str, Any]) -> list[Difference]:
    """Every value of ``computed`` that is another in ``stored``."""
    return [Difference(of, row, name, stored[name], value) for name, value in computed.items() if stored[name] != value]


def compare_diagnosis(stored: StoredDiagnosis, again: DiagnosisRecord) -> list[Difference]:
    """The suggestion and its differential, value by value."""
    patient, row = again.patient_key, stored.row
    names = [name for name in row if name not in {"diagnosis_key", "run_id", "is_current"}]
    computed = {name: getattr(again, name) for name in names} | {
        "reasons": list(again.reasons),
        "probabilities": dict(again.probabilities),
    }
    found = compare_values(patient, "suggestion", row, computed)
    categories = [
        {name: getattr(part, name) for name in ("category", "cells", "percent", "low", "high")}
        for part in again.differential
    ]
    return found + _by_key(patient, "differential", stored.differential, categories, "category")


def _by_key(
    of: str, kind: str, stored: Iterable[Mapping[str, Any]], computed: Iterable[Mapping[str, Any]], key: str
) -> list[Difference]:
    before, after = {row[key]: row for row in stored}, {row[key]: row for row in computed}
    found: list[Difference] = []
    for name in sorted(before.keys() | after.keys()):
        row = f"{kind} {name}"
        if name not in after:
            found.append(Difference(of, row, "added", dict(before[name]), None))
        elif name not in before:
            found.append(Difference(of, row, "lost", None, dict(after[name])))
        else:
            found += compare_values(of, row, before[name], after[name])
    return found


def _pair(ours: pa.Table, theirs: pa.Table) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Rows that are the same cell: at the very same place, or else the nearest of those left; and what is left."""
    before, after = _places(ours), _places(theirs)
    at: dict[tuple[float, float], list[int]] = defaultdict(list)
    for index, (x, y) in enumerate(after.tolist()):
        at[x, y].append(index)
    pairs: list[tuple[int, int]] = []
    alone: list[int] = []
    for index, (x, y) in enumerate(before.tolist()):
        here = at.get((x, y))
        if here:
            pairs.append((index, here.pop(0)))
        else:
            alone.append(index)
    left = [index for indices in at.values() for index in indices]
    if alone and left:
        queried = cKDTree(after[left]).query(before[alone], distance_upper_bound=MOVED_UM)
        distance, nearest = np.atleast_1d(queried[0]), np.atleast_1d(queried[1])
        taken: set[int] = set()
        for order in np.argsort(distance):
            if np.isfinite(distance[order]) and int(nearest[order]) not in taken:
                taken.add(int(nearest[order]))
                pairs.append((alone[int(order)], left[int(nearest[order])]))
    mine, again = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    return sorted(pairs), [i for i in alone if i not in mine], sorted(i for i in left if i not in again)


def _places(table: pa.Table) -> NDArray[np.float64]:
    return np.column_stack([table.column(name).to_numpy().astype(np.float64) for name in ("x_um", "y_um")])


def _columns(table: pa.Table) -> dict[str, list[Any]]:
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _cell(columns: Mapping[str, list[Any]], index: int) -> dict[str, Any]:
    return {name: columns[name][index] for name in ("x_um", "y_um", "cell_class", "confidence")}


def _compare_attributes(stored: StoredAnalysis, again: pa.Table, numbers: Mapping[int, int]) -> list[Difference]:
    """Attributes by the stored number of their cell; those of cells that are lost are told with the cell."""

    def keyed(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{"key": (row["cell_id"], row["attribute"]), **row} for row in rows]

    rows = [row | {"cell_id": numbers[row["cell_id"]]} for row in again.to_pylist() if row["cell_id"] in numbers]
    known = set(numbers.values())
    mine = [row for row in stored.attribute_rows.to_pylist() if row["cell_id"] in known]
    return _by_key(stored.slide_id, "attribute of cell", keyed(mine), keyed(rows), "key")
