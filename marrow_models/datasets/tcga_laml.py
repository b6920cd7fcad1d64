"""TCGA-LAML: differential counts and FAB class of 200 patients with acute myeloid leukaemia, one CSV file.

The columns keep the names of the clinical data of TCGA. Eleven of them are called ``bone_marrow_...``; together with
``monocyte_...`` and ``abnormal_lymphocyte_...`` they add up to 100 % in nearly every patient, and are one differential.
``blast_cell_outcome_percentage_value`` is a count of blasts of its own, not a part of that sum.

Whatever the columns are called, the differential looks like one of blood: it has no erythroblasts, follows the
leucocyte count and holds few blasts where leucocytes are few, while the other count of blasts is as in marrow.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS = {
    "blast": "bone_marrow_blast_cell_outcome_percent_value",
    "promyelocyte": "bone_marrow_promyelocyte_result_percent_value",
    "myelocyte": "bone_marrow_myelocyte_result_percent_value",
    "metamyelocyte": "bone_marrow_metamyelocyte_result_value",
    "band_neutrophil": "bone_marrow_band_cell_result_percent_value",
    "segmented_neutrophil": "bone_marrow_neutrophil_result_percent_value",
    "eosinophil": "bone_marrow_lab_eosinophil_result_percent_value",
    "basophil": "bone_marrow_basophil_result_percent_value",
    "promonocyte": "bone_marrow_promonocyte_count_result_percent_value",
    "monocyte": "monocyte_result_percent_value",
    "lymphocyte": "bone_marrow_lymphocyte_outcome_percent_value",
    "prolymphocyte": "bone_marrow_prolymphocyte_result_percent_value",
    "abnormal_lymphocyte": "abnormal_lymphocyte_result_percent_value",
}
"""Cell of the differential -> column."""

OTHER_BLASTS = "blast_cell_outcome_percentage_value"
FAB = "leukemia_french_american_british_morphology_code"
PATIENT = "bcr_patient_barcode"
FAB_CLASSES = ("m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7")
NOT_CLASSIFIED = "not classified"
SUM_PERCENT = (15.0, 125.0)
"""Least and most sum of a differential that is still one: some cells were not reported, or reported twice."""

MOST_APART_PERCENT = 15.0
"""Between the median blasts of the differential and of the other count, if both are of one specimen."""

LICENCE = "open access (TCGA)"
SOURCE = "TCGA-LAML clinical data, portal.gdc.cancer.gov"


@dataclass(frozen=True, slots=True)
class FabTable:
    """Patients with acute myeloid leukaemia, N rows."""

    percents: NDArray[np.float64]
    """(N, 13) in the order of CELLS, each row adding up to 100."""
    other_blasts: NDArray[np.float64]
    """(N,) percent of ``blast_cell_outcome_percentage_value``; NaN is missing."""
    fab: NDArray[np.str_]
    """(N,) of FAB_CLASSES."""
    patients: NDArray[np.str_]
    """(N,)"""
    sums: NDArray[np.float64]
    """(N,) percent that each row added up to in the file."""
    notes: tuple[str, ...]


def read_tcga_laml(path: Path) -> FabTable:
    """Return the patients with a FAB class, their differentials scaled to 100 %; a missing percentage is no cell.

    Left out, with a note: patients without a class, and sums outside of SUM_PERCENT. UserError, naming file, row and
    column, for a missing column, a field that is no percentage, a class that is none, and a patient twice.
    """
    rows = _rows(path)
    classified = [row for row in rows if _fab(row, path.name) is not None]
    cells = np.array([[_percent(row, name, path.name) for name in CELLS.values()] for row in classified])
    sums = np.nansum(cells, axis=1)
    usable = (sums >= SUM_PERCENT[0]) & (sums <= SUM_PERCENT[1])
    if not usable.any():
        raise UserError(f"{path.name}: no patient has a FAB class and a differential that adds up to about 100 %.")
    kept = [row for row, is_usable in zip(classified, usable, strict=True) if is_usable]
    uneven = int((np.abs(sums[usable] - 100) > 1).sum())
    notes = (
        (len(rows) - len(classified), "patient(s) without a FAB class left out"),
        (int((~usable).sum()), f"differential(s) adding up to less than {SUM_PERCENT[0]:g} or more than "
         f"{SUM_PERCENT[1]:g} % left out"),
        (uneven, "differential(s) not adding up to 100 % scaled to it"),
        (int(np.isnan(cells).sum()), "missing percentage(s) taken for no cell"),
    )  # fmt: skip
    other = np.array([_percent(row, OTHER_BLASTS, path.name) for row in kept])
    doubt = _doubt(cells[usable][:, list(CELLS).index("blast")], other, path.name)
    return FabTable(
        percents=100 * np.nan_to_num(cells[usable]) / sums[usable, None],
        other_blasts=other,
        fab=np.array([_fab(row, path.name) for row in kept], np.str_),
        patients=np.array([row[PATIENT] for row in kept], np.str_),
        sums=sums[usable],
        notes=(*(f"{path.name}: {count} {what}." for count, what in notes if count), *doubt),
    )


def _doubt(blasts: NDArray[np.float64], other: NDArray[np.float64], where: str) -> tuple[str, ...]:
    """Say so where two counts of the same cells are too far apart to be of one specimen."""
    here, there = float(np.nanmedian(blasts)), float(np.nanmedian(other))
    if abs(here - there) <= MOST_APART_PERCENT:
        return ()
    return (
        f"{where}: median {here:.0f} % blasts in the differential, {there:.0f} % in {OTHER_BLASTS}: "
        "two specimens, the differential probably of blood and not of marrow.",
    )


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            header, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a CSV file in UTF-8 ({error}).") from error
    for name in (PATIENT, *CELLS.values(), OTHER_BLASTS, FAB):
        if name not in header:
            raise UserError(f"{path.name}: expected the column {name}, found {', '.join(header)[:200]}.")
    if not rows:
        raise UserError(f"{path.name}: expected a row a patient, found none.")
    names = [row[PATIENT] for row in rows]
    if len(set(names)) != len(names):
        raise UserError(f"{path.name}: a patient is there twice in {PATIENT}; keep one row of each.")
    return rows


def _fab(row: dict[str, str], where: str) -> str | None:
    text = row[FAB].strip().casefold()
    if text in ("", NOT_CLASSIFIED):
        return None
    found = text.split()[0]  # "m0 undifferentiated"
    if found not in FAB_CLASSES:
        raise UserError(f"{where}: {FAB} must be {', '.join(FAB_CLASSES)} or {NOT_CLASSIFIED!r}, not {text[:40]!r}.")
    return found


def _percent(row: dict[str, str], column: str, where: str) -> float:
    text = row[column].strip()
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise UserError(f"{where}: {column} holds {text[:40]!r}, which is no percentage; correct or empty it.")
    return value
