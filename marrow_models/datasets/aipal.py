"""AIPAL: routine laboratory values of patients with acute leukaemia at diagnosis, one CSV file a hospital.

Layout: ``aipal_HOSPITAL.csv`` with ``Response`` (AML, ALL, APL) and 14 values named by their units; an empty field
is a missing value. Source: VincentAlcazer/AIPAL (Lancet Digit Health 2024), MIT.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.diagnosis.laboratory_values import NAMES, check_values
from marrow_models.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESPONSES = ("ALL", "AML", "APL")
RESPONSE_COLUMN = "Response"
PREFIX = "aipal_"
LICENCE = "MIT"
SOURCE = "github.com/VincentAlcazer/AIPAL"

_MISSING = frozenset({"", "na", "nan", "n/a", "null"})
_FEWEST_TO_BE_A_COPY = 10  # known values; two patients with nothing measured are not one patient


@dataclass(frozen=True, slots=True)
class LaboratoryTable:
    """Patients of one or more hospitals, N rows."""

    values: NDArray[np.float64]
    """(N, 14) in the order and units of LABORATORY_VALUES; NaN is missing."""
    responses: NDArray[np.str_]
    """(N,) of RESPONSES; empty texts in a table without responses."""
    hospitals: NDArray[np.str_]
    """(N,)"""
    notes: tuple[str, ...] = ()
    """Defects that were met and what was done about each."""


def read_aipal(path: Path, *, units: Mapping[str, Mapping[str, str]] = MappingProxyType({})) -> LaboratoryTable:
    """Return the patients of a folder of ``aipal_HOSPITAL.csv``, or of one such file.

    ``units`` maps a hospital to the units of those of its columns that are not in the unit of their name.
    A patient who is in a file twice is kept once. UserError when there is no such file or a file is not in the layout.
    """
    files = sorted(path.glob(f"{PREFIX}*.csv")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: expected {PREFIX}HOSPITAL.csv, found no such file; give the folder that holds them.")
    names = [file.stem.removeprefix(PREFIX) for file in files]
    if unknown := sorted(set(units) - set(names)):
        raise UserError(f"{path}: units are given for {', '.join(unknown)}; the hospitals are {', '.join(names)}.")
    tables = [
        _without_copies(read_laboratory_table(file, units=units.get(name, {}), labelled=True), file.name)
        for file, name in zip(files, names, strict=True)
    ]
    return LaboratoryTable(
        np.concatenate([table.values for table in tables]),
        np.concatenate([table.responses for table in tables]),
        np.concatenate([table.hospitals for table in tables]),
        tuple(note for table in tables for note in table.notes),
    )


def read_laboratory_table(
    path: Path, *, units: Mapping[str, str] = MappingProxyType({}), labelled: bool = False
) -> LaboratoryTable:
    """Return the patients of one CSV file, in the order of its rows; columns of values may be absent.

    With ``labelled`` the column ``Response`` is needed, without it may be there and is read when it is.
    UserError, naming file, row and column, for an unknown or doubled column, a field that is no number,
    an unknown response, and what :func:`check_values` refuses.
    """
    header, rows = _rows(path)
    if labelled and RESPONSE_COLUMN not in header:
        raise UserError(f"{path.name}: expected the column {RESPONSE_COLUMN}, found {', '.join(header)}.")
    columns = {
        name: np.array([_number(row[i], f"{path.name}: row {n}: {name}") for n, row in enumerate(rows, 2)])
        for i, name in enumerate(header)
        if name != RESPONSE_COLUMN
    }
    checked = check_values(columns, path.name, units=units)
    responses = (
        [_response(row[header.index(RESPONSE_COLUMN)], path.name, n) for n, row in enumerate(rows, 2)]
        if (RESPONSE_COLUMN in header)
        else [""] * len(rows)
    )
    hospital = path.stem.removeprefix(PREFIX)
    return LaboratoryTable(
        checked.values, np.array(responses, np.str_), np.array([hospital] * len(rows), np.str_), checked.notes
    )


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a CSV file in UTF-8 ({error}).") from error
    if len(lines) < 2:
        raise UserError(f"{path.name}: expected a line of column names ({', '.join(NAMES)}) and a row a patient.")
    header, rows = [name.strip() for name in lines[0]], lines[1:]
    if len(set(header)) != len(header):
        raise UserError(f"{path.name}: a column is there twice; keep one of each name.")
    for n, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UserError(f"{path.name}: row {n}: {len(row)} fields for {len(header)} columns (decimal commas?).")
    return header, rows


def _number(text: str, where: str) -> float:
    if text.strip().casefold() in _MISSING:
        return math.nan
    try:
        number = float(text)
    except ValueError as error:
        raise UserError(f"{where}: {text.strip()[:40]!r} is no number; write 3.4, or nothing if missing.") from error
    if not math.isfinite(number):
        raise UserError(f"{where}: {text.strip()} is no value; leave the field empty if it is missing.")
    return number


def _response(text: str, where: str, row: int) -> str:
    if text.strip() not in RESPONSES:
        raise UserError(f"{where}: row {row}: {RESPONSE_COLUMN} must be {', '.join(RESPONSES)}, not {text.strip()!r}.")
    return text.strip()


def _without_copies(table: LaboratoryTable, where: str) -> LaboratoryTable:
    """A row that is in a file twice is one patient: in two folds it would be known before it is tested."""
    seen: set[tuple[object, ...]] = set()
    kept: list[int] = []
    for i, row in enumerate(table.values):
        key = (table.responses[i], *_without_nan(row))
        if np.isfinite(row).sum() < _FEWEST_TO_BE_A_COPY or key not in seen:
            kept.append(i)
        seen.add(key)
    if len(kept) == len(table.values):
        return table
    note = f"{where}: {len(table.values) - len(kept)} patient(s) there twice, kept once."
    return LaboratoryTable(table.values[kept], table.responses[kept], table.hospitals[kept], (*table.notes, note))


def _without_nan(row: NDArray[np.float64]) -> Sequence[float | None]:
    return [None if math.isnan(value) else value for value in row.tolist()]
