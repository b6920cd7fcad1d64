"""The clinical and laboratory table of BoneMarrowWSI-PediatricLeukemia, one row a patient."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from marrow_models.errors import UserError
from marrow_models.slides.pixel_size import parse_decimal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DELIMITER = ";"
COLUMNS = ("patient_id", "age", "gender", "leukemia_type", "leukemia_subtype", "ncit_concept_code")
"""The columns with a meaning of their own; any other is a laboratory or clinical value."""
REQUIRED = COLUMNS[:4]
_YEARS_PER_UNIT = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_DICOM_AGE = re.compile(r"(\d{3})([YMWD])", re.ASCII)


@dataclass(frozen=True, slots=True)
class ClinicalRecord:
    """What is known of one patient at diagnosis. None or "" where the table is silent."""

    patient: str
    age_years: float | None
    sex: str
    """As the table writes it: ``M``, ``F``, ..."""
    leukemia_type: str
    """``ALL``, ``AML``, ``CML``, as the table writes it."""
    leukemia_subtype: str = ""
    ncit_code: str = ""
    """Concept of the NCI Thesaurus for the diagnosis."""
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Every other column that is filled, as text."""

    @property
    def laboratory(self) -> Mapping[str, float]:
        """Those of ``values`` that are numbers (decimal point or comma)."""
        numbers = {name: parse_decimal(text) for name, text in self.values.items()}
        return MappingProxyType({name: number for name, number in numbers.items() if number is not None})


def read_clinical(path: Path) -> tuple[ClinicalRecord, ...]:
    """Read the table (``;`` between columns, UTF-8), sorted by patient.

    UserError, naming file and line, where a column is missing, an age cannot be read, or a patient has two rows.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter=DELIMITER)
            absent = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
            if absent:
                raise UserError(
                    f"{path}: expected a clinical table with the columns {', '.join(REQUIRED)}, separated by "
                    f"{DELIMITER!r}; {', '.join(absent)} is not there. Give the authors' table as it is."
                )
            records = [_record(row, f"{path}: line {reader.line_num}") for row in reader]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}). Store it as UTF-8.") from error
    if len({record.patient for record in records}) != len(records):
        raise UserError(f"{path}: a patient has two rows; keep one.")
    return tuple(sorted(records, key=lambda record: record.patient))


def is_clinical(path: Path) -> bool:
    """Whether the first line of a file is that of a clinical table."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return {"patient_id", "leukemia_type"} <= {
            name.strip('" ') for name in file.readline().strip().split(DELIMITER)
        }


def age_in_years(text: str) -> float | None:
    """Years in an age as DICOM writes it (``012Y``, ``006M``) or as a number; None for an empty one. ValueError."""
    text = text.strip()
    if not text:
        return None
    match = _DICOM_AGE.fullmatch(text)
    years = int(match[1]) * _YEARS_PER_UNIT[match[2]] if match else parse_decimal(text)
    if years is None or not 0 <= years < 130:
        raise ValueError(text)
    return years


def _record(row: dict[str, str | None], where: str) -> ClinicalRecord:
    texts = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
    if not texts["patient_id"]:
        raise UserError(f"{where}: patient_id is empty; every row belongs to a patient.")
    try:
        age = age_in_years(texts["age"])
    except ValueError:
        raise UserError(f"{where}: age is neither a number of years nor written like 012Y or 006M.") from None
    return ClinicalRecord(
        patient=texts["patient_id"],
        age_years=age,
        sex=texts["gender"],
        leukemia_type=texts["leukemia_type"],
        leukemia_subtype=texts.get("leukemia_subtype", ""),
        ncit_code=texts.get("ncit_concept_code", ""),
        values=MappingProxyType({name: value for name, value in texts.items() if value and name not in COLUMNS}),
    )
