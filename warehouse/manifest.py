"""manifest.csv: whose slide each file is. Read strictly, row by row: a bad row costs its own slide only.

A file that cannot be read as text is refused as a whole. Ids stay text: ``0012`` and ``1e5`` are ids.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from marrow_models.errors import UserError
from marrow_models.records import ManifestRow
from warehouse.manifest_values import (
    CellFault,
    is_number,
    laboratory_name,
    number,
    sex,
    specimen,
    stain,
    text_id,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REQUIRED = ("file", "patient_id")
OPTIONAL = ("specimen", "stain", "age_years", "sex", "um_per_px")
DELIMITERS = (",", ";", "\t")
MAX_BYTES = 64 * 2**20
MAX_AGE_YEARS = 130.0
UM_PER_PX_RANGE = (0.01, 10.0)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is not taken, and why. The cause never repeats the cell."""

    line: int
    """Line of the file where the row begins, from 1."""
    column: str
    cause: str
    file: str | None
    """The slide that the row speaks of, None where that is what is wrong."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as read."""

    rows: tuple[ManifestRow, ...]
    refused: tuple[RefusedRow, ...]
    warnings: tuple[str, ...]
    """What was passed over, in words; names columns and lines, never cells."""

    def row_of(self, relative_name: str) -> ManifestRow | None:
        """The row of a slide by its name in the inbox (with ``/``), None where no row of it was taken."""
        wanted = unicodedata.normalize("NFC", relative_name)
        return next((row for row in self.rows if row.file == wanted), None)

    @property
    def refused_files(self) -> dict[str, str]:
        """File to cause for the slides of which a row was refused and none taken: MANIFEST_CONFLICT."""
        taken = {row.file for row in self.rows}
        return {r.file: f"line {r.line}, {r.column}: {r.cause}" for r in self.refused if r.file and r.file not in taken}


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    cells: Mapping[str, str]


def read_manifest(path: Path) -> Manifest:
    """The manifest at ``path``: UTF-8 with or without a mark, separated by comma, semicolon or tab.

    UserError, naming the line, for a file that is missing, is not UTF-8, holds a NUL byte, or lacks a required column.
    """
    text = _text(path)
    delimiter, header = _header(text, path.name)
    lines, refused = _lines(text, delimiter, header, path.name)
    laboratory, warnings = _laboratory(header, lines)
    rows: list[tuple[int, ManifestRow]] = []
    for line in lines:
        try:
            row, passed_over = _row(line, laboratory)
        except _Refusal as refusal:
            refused.append(refusal.row)
        else:
            rows.append((line.number, row))
            warnings.extend(passed_over)
    taken, conflicts, repeated = _without_conflicts(rows, {r.file for r in refused})
    refused.extend(conflicts)
    return Manifest(taken, tuple(sorted(refused, key=lambda r: r.line)), tuple(warnings + repeated))


class _Refusal(Exception):
    def __init__(self, row: RefusedRow) -> None:
        super().__init__(row)
        self.row = row


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{path.name} has {size} bytes, more than any manifest: check which file this is.")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror}.") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path.name}, line 1: the file is UTF-16; save it as UTF-8.")
    if b"\0" in content:
        raise UserError(f"{path.name}, line {_line_at(content, content.index(0))}: a NUL byte; save it as UTF-8 text.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_at(content, error.start)
        raise UserError(f"{path.name}, line {line}: not UTF-8 (Latin-1?); save the file as UTF-8.") from error


def _line_at(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1


def _header(text: str, name: str) -> tuple[str, list[str]]:
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    for delimiter in DELIMITERS:
        try:
            columns = [column.strip().lower() for column in next(csv.reader([first], delimiter=delimiter), [])]
        except csv.Error as error:  # a heading longer than any
            raise UserError(f"{name}, line 1: {error}; check which file this is.") from error
        if all(required in columns for required in REQUIRED):
            doubled = sorted({c for c in columns if c and columns.count(c) > 1})
            if doubled:
                raise UserError(f"{name}, line 1: column {', '.join(doubled)} is there twice.")
            return delimiter, columns
    raise UserError(f"{name}, line 1: the columns {' and '.join(REQUIRED)} are required, separated by comma.")


def _lines(text: str, delimiter: str, header: list[str], name: str) -> tuple[list[_Line], list[RefusedRow]]:
    """The rows below the header, and those whose shape is wrong."""
    lines: list[_Line] = []
    refused: list[RefusedRow] = []
    limit = csv.field_size_limit(MAX_BYTES)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        begins, seen_header = 1, False
        for cells in reader:
            number_, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not seen_header:
                seen_header = True
            elif len(cells) > len(header):
                cause = f"{len(cells)} cells under {len(header)} headings (a decimal comma without quotes?)"
                known = dict(zip(header, cells, strict=False))
                refused.append(RefusedRow(number_, "row", cause, _file_or_none(known.get("file", ""))))
            else:
                padded = cells + [""] * (len(header) - len(cells))
                lines.append(_Line(number_, dict(zip(header, padded, strict=True))))
    except csv.Error as error:
        raise UserError(f"{name}, line {reader.line_num}: {error}; check the quotes.") from error
    finally:
        csv.field_size_limit(limit)
    return lines, refused


def _laboratory(header: list[str], lines: list[_Line]) -> tuple[dict[str, str], list[str]]:
    """Which further columns hold laboratory values (heading to name), and a warning for each that does not."""
    laboratory: dict[str, str] = {}
    warnings: list[str] = []
    for position, heading in enumerate(header, 1):
        if not heading or heading in REQUIRED + OPTIONAL:
            continue
        name = laboratory_name(heading)
        bad = next((line.number for line in lines if not is_number(line.cells[heading])), None)
        if name is None:
            warnings.append(f"column {position} is not taken: its heading is not that of a laboratory value")
        elif bad is not None:
            warnings.append(f"column {position} is not taken: line {bad} holds no number")
        elif name in laboratory.values():
            warnings.append(f"column {position} is not taken: an earlier column has the same name")
        else:
            laboratory[heading] = name
    return laboratory, warnings


def _row(line: _Line, laboratory: Mapping[str, str]) -> tuple[ManifestRow, list[str]]:
    cells, warnings = line.cells, list[str]()
    file = _file_or_none(cells["file"])
    column = "file"
    try:
        name = _file(cells["file"])
        column = "patient_id"
        patient_id = text_id(cells["patient_id"])
        column = "specimen"
        material = specimen(cells.get("specimen", ""))
        column = "age_years"
        age = number(cells.get("age_years", ""), at_least=0.0, at_most=MAX_AGE_YEARS)
        column = "sex"
        gender = sex(cells.get("sex", ""))
        column = "um_per_px"
        scale = number(cells.get("um_per_px", ""), at_least=UM_PER_PX_RANGE[0], at_most=UM_PER_PX_RANGE[1])
        column = "laboratory"
        values = [(short, number(cells[heading])) for heading, short in laboratory.items()]
    except CellFault as fault:
        raise _Refusal(RefusedRow(line.number, column, str(fault), file)) from fault
    dye = stain(cells.get("stain", ""))
    if dye == "other":
        warnings.append(f"line {line.number}: the stain is not one of the names that Marrow knows; stored as other")
    found = tuple((short, value) for short, value in values if value is not None)
    return ManifestRow(name, patient_id, material, dye, age, gender, scale, found), warnings


def _file(cell: str) -> str:
    """The name of a slide in the inbox: relative, with ``/``, composed characters."""
    name = text_id(unicodedata.normalize("NFC", cell), what="file").replace("\\", "/").removeprefix("./")
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or (len(name) > 1 and name[1] == ":"):
        raise CellFault("the file is not below the inbox")
    return path.as_posix()


def _file_or_none(cell: str) -> str | None:
    try:
        return _file(cell)
    except CellFault:
        return None


def _without_conflicts(
    rows: list[tuple[int, ManifestRow]], refused_files: set[str | None]
) -> tuple[tuple[ManifestRow, ...], list[RefusedRow], list[str]]:
    """The rows of files on which the manifest agrees with itself; the others; warnings for rows said twice."""
    by_file: dict[str, list[tuple[int, ManifestRow]]] = defaultdict(list)
    for line, row in rows:
        by_file[row.file].append((line, row))
    taken: list[ManifestRow] = []
    conflicts: list[RefusedRow] = []
    warnings: list[str] = []
    for file, said in by_file.items():
        first = said[0][1]
        if len({row.patient_id for _, row in said}) > 1:
            conflicts += [RefusedRow(line, "patient_id", "the file is given two patients", file) for line, _ in said]
        elif any(row != first for _, row in said):
            conflicts += [RefusedRow(line, "row", "the file is given twice, differently", file) for line, _ in said]
        elif file in refused_files:
            conflicts += [RefusedRow(line, "row", "another row of the file is refused", file) for line, _ in said]
        else:
            taken.append(first)
            warnings += [f"line {line}: says the same again" for line, _ in said[1:]]
    return tuple(taken), conflicts, warnings
