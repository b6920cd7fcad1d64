"""One DICOM object with annotations (Microscopy Bulk Simple Annotations) of BoneMarrowWSI-PediatricLeukemia."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marrow_models.errors import SlideRefused, UserError
from marrow_models.slides.dicom_header import parsing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from marrow_models.datasets.records import Box

REGIONS, UNCLASSIFIED, CONSENSUS, SESSION = "regions", "unclassified", "consensus", "session"
_KINDS = (
    (REGIONS, re.compile(r"monolayer", re.IGNORECASE)),
    (UNCLASSIFIED, re.compile(r"\s*unlabel", re.IGNORECASE)),
    (CONSENSUS, re.compile(r"consensus", re.IGNORECASE)),
    (SESSION, re.compile(r"session:?\s*(\d+)", re.IGNORECASE)),
)
"""By what is said in the description of a series, in the wording of every release."""
CELL_ID, REGION_ID = ("0010197", "125010"), ("130489",)
"""How the codes of the measurements end: EFO's "single cell identifier" or DICOM's "Identifier"; "Referenced Region
of Interest Identifier"."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One rectangle of an annotation object."""

    label: str
    cell_id: int | None
    roi_id: int | None
    box_px: Box


@dataclass(frozen=True, slots=True)
class Annotations:
    """One annotation object."""

    path: Path
    series: str
    instance: str
    """The image that it refers to."""
    kind: str | None
    """None: of no kind that the collection has."""
    session: int
    marks: tuple[Mark, ...]


def read_annotations(path: Path) -> Annotations:
    """Read one object. UserError, naming it, where it is damaged or holds no rectangles in pixels of a whole image."""
    import highdicom  # slow to import, and of use only here

    try:
        with parsing():
            found = highdicom.ann.annread(path)
            if found.get("PixelOriginInterpretation", "VOLUME") != "VOLUME":
                raise UserError(f"{path}: expected coordinates in the whole image, found them in single frames.")
            kind, session = _kind(str(found.get("SeriesDescription", "")))
            return Annotations(
                path=path,
                series=str(found.ReferencedSeriesSequence[0].SeriesInstanceUID),
                instance=str(found.ReferencedImageSequence[0].ReferencedSOPInstanceUID),
                kind=kind,
                session=session,
                marks=tuple(mark for group in found.get_annotation_groups() for mark in _marks(path, group))
                if kind
                else (),
            )
    except SlideRefused as error:
        raise damaged(path, error) from error


def _kind(description: str) -> tuple[str | None, int]:
    for kind, pattern in _KINDS:
        if match := pattern.search(description):
            return kind, int(match[1]) if match.groups() else 0
    return None, 0


def _marks(path: Path, group: Any) -> Iterator[Mark]:
    """Rectangles of one group."""
    if group.graphic_type.value != "RECTANGLE":
        raise UserError(f"{path}: expected graphics of type RECTANGLE, found {group.graphic_type.value}.")
    names, values, _ = group.get_measurements()
    columns = {str(name.value): values[:, index] for index, name in enumerate(names)}
    cells, regions = _column(columns, CELL_ID), _column(columns, REGION_ID)
    for index, corners in enumerate(group.get_graphic_data(coordinate_type="2D")):
        left, top = (float(value) for value in corners.min(axis=0))
        right, bottom = (float(value) for value in corners.max(axis=0))
        yield Mark(str(group.label), _number(cells, index), _number(regions, index), (left, top, right, bottom))


def _column(columns: Mapping[str, Any], endings: tuple[str, ...]) -> Any | None:
    return next((values for code, values in columns.items() if code.endswith(endings)), None)


def _number(values: Any | None, index: int) -> int | None:
    """An identifier; None where the object has none."""
    if values is None or not math.isfinite(values[index]):
        return None
    return int(values[index])


def damaged(file: Path, error: SlideRefused) -> UserError:
    """The error for a file that DICOM readers do not understand."""
    return UserError(f"{file}: expected a DICOM slide or its annotations ({error}). Download the file again.")


def by_id(marks: Annotations) -> dict[int, Mark]:
    """Rectangles by the identifier of their cell. UserError where one has none, or shares it."""
    found: dict[int, Mark] = {}
    for mark in marks.marks:
        if mark.cell_id is None:
            raise UserError(f"{marks.path}: a box has no identifier (measurement EFO {CELL_ID[0]}).")
        if mark.cell_id in found:
            raise UserError(f"{marks.path}: cell {mark.cell_id} is there twice. Download the file again.")
        found[mark.cell_id] = mark
    return found
