"""BoneMarrowWSI-PediatricLeukemia as the Imaging Data Commons has it: DICOM slides (SM) and annotations (ANN).

For every slide there is a series with the regions and either one with boxes that nobody classified or one for each
annotation session and one for the consensus. Boxes are rectangles in pixels of the slide's largest level.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pydicom
from pydicom.uid import MicroscopyBulkSimpleAnnotationsStorage

from marrow_models.datasets.clinical import ClinicalRecord, age_in_years
from marrow_models.datasets.consensus import UNLABELLED
from marrow_models.datasets.pediatric_ann import (
    CONSENSUS,
    REGION_ID,
    REGIONS,
    SESSION,
    UNCLASSIFIED,
    Annotations,
    by_id,
    damaged,
    read_annotations,
)
from marrow_models.datasets.pediatric_slides import AnnotatedSlide, BoxedCell, Region, check_within, measured, rect_of
from marrow_models.errors import SlideRefused, UserError
from marrow_models.slides.dicom_header import WHOLE_SLIDE_STORAGE, is_volume, parsing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pydicom import Dataset

_LOST = frozenset({"immature_monocyte", "immature_monoblast", "monoblast"})
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription", "ImageType", "PatientID", "PatientAge",
    "PatientSex", "TotalPixelMatrixColumns", "ContainerIdentifier", "AcquisitionContextSequence",
    "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class DicomSlide:
    """A whole-slide series."""

    path: Path
    """Its largest level."""
    series: str
    instance: str
    """SOP instance UID of the largest level."""
    patient: str
    container: str
    """Identifier of the glass slide."""
    bounds_px: tuple[int, int] | None
    """Corner of the image in the MIRAX slide from which it was made, as the header states it."""
    clinical: ClinicalRecord


@dataclass(frozen=True, slots=True)
class DicomFiles:
    """What lies in a folder."""

    slides: tuple[DicomSlide, ...]
    annotations: tuple[Path, ...]


def find_files(path: Path) -> DicomFiles:
    """Sort the ``.dcm`` files below ``path`` by their headers. UserError, naming it, for one that is no DICOM file."""
    levels: dict[str, list[tuple[int, Path, Dataset]]] = {}
    annotations = []
    for file in sorted(path.rglob("*.dcm")):
        header = _header(file)
        kind = str(header.get("SOPClassUID", ""))
        if kind == MicroscopyBulkSimpleAnnotationsStorage:
            annotations.append(file)
        elif kind == WHOLE_SLIDE_STORAGE and is_volume(header):
            level = (int(header.TotalPixelMatrixColumns), file, header)
            levels.setdefault(str(header.SeriesInstanceUID), []).append(level)
    bases = (max(series, key=lambda level: level[0]) for series in levels.values())
    slides = (_dicom_slide(file, header) for _, file, header in bases)
    return DicomFiles(tuple(sorted(slides, key=lambda s: (s.patient, s.series))), tuple(annotations))


def read_slides(files: DicomFiles) -> tuple[list[AnnotatedSlide], tuple[str, ...]]:
    """Slides with their annotations, by patient, and notes on what is missing or was passed over.

    UserError, naming the file, for annotations that cannot be understood; and where no annotated slide is there.
    """
    of_series: dict[str, list[Annotations]] = {}
    unknown = 0
    for path in files.annotations:
        marks = read_annotations(path)
        unknown += marks.kind is None
        if marks.kind is not None:
            of_series.setdefault(marks.series, []).append(marks)
    found = [_slide(slide, of_series[slide.series]) for slide in files.slides if slide.series in of_series]
    if not found:
        raise UserError(
            f"{files.annotations[0].parent}: expected the whole-slide series (SM) that the annotations refer to; found "
            f"{len(files.slides)} other slides. Download the SM series of the same patients as well."
        )
    absent = len(of_series) - len(found)
    bare = len(files.slides) - len(found)
    notes = (
        ("slides with annotations that are not here, left out", absent),
        ("slides without annotations, left out", bare),
        ("annotation objects that are none of the collection's, passed over", unknown),
    )
    return found, (*(f"{what}: {count}" for what, count in notes if count), *_lost_label(found))


def _lost_label(slides: Sequence[AnnotatedSlide]) -> tuple[str, ...]:
    """The authors' conversion renames monoblasts to a label that it then does not know."""
    labels = {label for slide in slides for cell in slide.cells for label in (cell.published, *cell.votes)}
    if not any(cell.votes for slide in slides for cell in slide.cells) or labels & _LOST:
        return ()
    return ("no object is labelled immature_monocyte: the conversion to DICOM drops its raw label monoblast",)


def _header(file: Path) -> Dataset:
    try:
        with parsing():
            return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
    except SlideRefused as error:
        raise damaged(file, error) from error


def _dicom_slide(file: Path, header: Dataset) -> DicomSlide:
    patient = str(header.get("PatientID") or header.SeriesInstanceUID)
    return DicomSlide(
        path=file,
        series=str(header.SeriesInstanceUID),
        instance=str(header.SOPInstanceUID),
        patient=patient,
        container=str(header.get("ContainerIdentifier", "")),
        bounds_px=_bounds(header),
        clinical=_clinical(header, patient),
    )


def _bounds(header: Dataset) -> tuple[int, int] | None:
    """The bounds among the MIRAX properties that the header keeps as JSON text; None where it has none."""
    for item in header.get("AcquisitionContextSequence") or []:
        with suppress(ValueError, KeyError, TypeError):
            properties = json.loads(item.get("TextValue") or "")
            return int(properties["openslide.bounds-x"]), int(properties["openslide.bounds-y"])
    return None


def _clinical(header: Dataset, patient: str) -> ClinicalRecord:
    """What the header says of the patient: the description holds type and subtype, or only the name of the code."""
    codes = list(header.get("AdmittingDiagnosesCodeSequence") or [])
    code, meaning = (str(codes[0].get(name, "")) for name in ("CodeValue", "CodeMeaning")) if codes else ("", "")
    description = str(header.get("AdmittingDiagnosesDescription") or "")
    kind, subtype = ("", meaning) if description in ("", meaning) else _halves(description)
    age = None
    with suppress(ValueError):
        age = age_in_years(str(header.get("PatientAge") or ""))
    return ClinicalRecord(patient, age, str(header.get("PatientSex") or ""), kind, subtype, code)


def _halves(description: str) -> tuple[str, str]:
    kind, _, subtype = description.partition(",")
    return kind.strip(), subtype.strip()


def _slide(slide: DicomSlide, objects: Sequence[Annotations]) -> AnnotatedSlide:
    by_kind: dict[tuple[str | None, int], Annotations] = {}
    for marks in objects:
        if marks.instance != slide.instance:
            raise UserError(
                f"{marks.path}: expected annotations of the largest level ({slide.path.name}), found them on another "
                "one. Download the series of the slide in full."
            )
        first = by_kind.setdefault((marks.kind, marks.session), marks)
        if first is not marks:
            raise UserError(
                f"{marks.path}: the slide has the same annotations in {first.path} as well. Keep one release of them."
            )
    width, height, um_per_px = measured(slide.path)
    regions = by_kind.get((REGIONS, 0))
    annotated = AnnotatedSlide(
        path=slide.path,
        patient=slide.patient,
        width_px=width,
        height_px=height,
        um_per_px=um_per_px,
        regions=tuple(_regions(regions)) if regions else (),
        cells=tuple(_cells(by_kind)),
    )
    check_within(annotated, str(objects[0].path.parent.parent))
    return annotated


def _regions(marks: Annotations) -> Iterator[Region]:
    for mark in marks.marks:
        if mark.roi_id is None:
            raise UserError(f"{marks.path}: a region has no identifier (measurement {REGION_ID[0]}).")
        yield Region(mark.roi_id, rect_of(mark.box_px))


def _cells(by_kind: Mapping[tuple[str | None, int], Annotations]) -> Iterator[BoxedCell]:
    """Objects by identifier, with a vote for each session up to the last one that has the object."""
    sessions = [by_id(by_kind[key]) for key in sorted(key for key in by_kind if key[0] == SESSION)]
    consensus, unclassified = (
        by_id(by_kind[kind, 0]) if (kind, 0) in by_kind else {} for kind in (CONSENSUS, UNCLASSIFIED)
    )
    sources = [consensus, *sessions, unclassified]
    for cell_id in sorted(set().union(*sources)):
        mark = next(source[cell_id] for source in sources if cell_id in source)
        votes: list[str | None] = [s[cell_id].label if cell_id in s else None for s in sessions]
        while votes and votes[-1] is None:
            votes.pop()
        published = consensus[cell_id].label if cell_id in consensus else None
        yield BoxedCell(
            cell_id, mark.roi_id, mark.box_px, published if published or votes else UNLABELLED, tuple(votes)
        )
