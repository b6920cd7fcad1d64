"""The truth about a phantom night: every cell and every patient, as records and as CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marrow_models.phantom.film import TruthCell
from marrow_models.phantom.patients import Demography
from marrow_models.taxonomy import load_taxonomy

TAXONOMY = "marrow49"
"""The taxonomy whose labels phantoms use."""
MANIFEST, TRUTH = "manifest.csv", "truth"
"""Names of the manifest and of the folder of the truth in a phantom's inbox."""
MANIFEST_COLUMNS = ("file", "patient_id", "specimen", "stain", "age_years", "sex")
CELL_COLUMNS = (
    "file", "cell_class", "category", "x_um", "y_um", "width_um", "height_um",
    "x_px", "y_px", "width_px", "height_px", "readable", "counted",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PhantomPatient:
    """A patient and the truth about the cells that count, all slides together."""

    patient_id: str
    diagnosis: str
    demography: Demography
    cells: int
    """Readable cells of the differential."""
    percent: Mapping[str, float]
    """Of those, by ICSH category, in ICSH order; sums to 100."""


@dataclass(frozen=True, slots=True)
class PhantomSlide:
    """A slide that was written. ``file`` is relative to the inbox, with forward slashes."""

    file: str
    patient_id: str
    um_per_px: float
    cells: tuple[TruthCell, ...]


@dataclass(frozen=True, slots=True)
class PhantomNight:
    """What :func:`marrow_models.phantom.night.make_phantom` wrote."""

    folder: Path
    slides: tuple[PhantomSlide, ...]
    patients: tuple[PhantomPatient, ...]

    @property
    def manifest(self) -> Path:
        """The manifest of the inbox."""
        return self.folder / MANIFEST


def summarise(
    patient_id: str, diagnosis: str, demography: Demography, slides: Sequence[PhantomSlide]
) -> PhantomPatient:
    """Count a patient's readable cells of the differential over all slides."""
    taxonomy = load_taxonomy(TAXONOMY)
    number = dict.fromkeys(taxonomy.categories, 0)
    for slide in slides:
        for cell in slide.cells if slide.patient_id == patient_id else ():
            category = taxonomy.category_of(cell.label)
            if cell.readable and category is not None:
                number[category] += 1
    total = sum(number.values())
    percent = {category: 100 * count / total if total else 0.0 for category, count in number.items()}
    return PhantomPatient(patient_id, diagnosis, demography, total, percent)


def write_tables(night: PhantomNight) -> None:
    """Write ``manifest.csv``, ``truth/cells.csv`` and ``truth/patients.csv``."""
    by_id = {patient.patient_id: patient for patient in night.patients}
    manifest = [
        (slide.file, slide.patient_id, "bone_marrow", "may_gruenwald_giemsa", person.age_years, person.sex)
        for slide in night.slides
        for person in [by_id[slide.patient_id].demography]
    ]
    _write_csv(night.manifest, MANIFEST_COLUMNS, manifest)
    _write_csv(night.folder / TRUTH / "cells.csv", CELL_COLUMNS, _cell_rows(night.slides))
    categories = load_taxonomy(TAXONOMY).categories
    patients = [
        (patient.patient_id, patient.diagnosis, patient.cells, *(f"{patient.percent[name]:.4f}" for name in categories))
        for patient in night.patients
    ]
    _write_csv(night.folder / TRUTH / "patients.csv", ("patient_id", "diagnosis", "cells", *categories), patients)


def _cell_rows(slides: Iterable[PhantomSlide]) -> Iterator[tuple[Any, ...]]:
    taxonomy = load_taxonomy(TAXONOMY)
    for slide in slides:
        scale = slide.um_per_px
        for cell in slide.cells:
            left, top, right, bottom = cell.box_px
            category = taxonomy.category_of(cell.label)
            in_um = (cell.x_px * scale, cell.y_px * scale, (right - left) * scale, (bottom - top) * scale)
            yield (
                slide.file,
                cell.label,
                category or "",
                *(f"{value:.3f}" for value in in_um),
                cell.x_px,
                cell.y_px,
                right - left,
                bottom - top,
                str(cell.readable).lower(),
                str(cell.readable and category is not None).lower(),
            )


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
