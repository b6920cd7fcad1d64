"""BoneMarrowWSI-PediatricLeukemia as its authors wrote it: tables of cells and regions beside the slides.

Coordinates are level-0 pixels from the corner of the MIRAX slide. A DICOM slide made from it is cropped to what
was scanned: there, the bounds that OpenSlide states (kept in the DICOM header) are subtracted.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from marrow_models.datasets.consensus import NO_CONSENSUS, UNLABELLED
from marrow_models.datasets.marker import number
from marrow_models.datasets.pediatric_dicom import find_files
from marrow_models.datasets.pediatric_slides import AnnotatedSlide, BoxedCell, Region, check_within, measured, rect_of
from marrow_models.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from marrow_models.datasets.records import Box

_SIDES = ("x1", "y1", "x2", "y2")
CELL_COLUMNS = ("cell_id", "slide_id", "roi_id", *_SIDES)
REGION_COLUMNS = ("roi_id", "slide_id", *_SIDES)
_Row = TypeVar("_Row")
_CONSENSUS, _VOTES = "original_consensus_label", "all_original_annotations"


@dataclass(frozen=True, slots=True)
class Tables:
    """The CSV files of the annotations."""

    cells: tuple[Path, ...]
    regions: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _SlideFile:
    path: Path
    corner_px: tuple[int, int] | None
    """Its corner in the coordinates of the tables; None: not known."""


def find_tables(path: Path) -> Tables:
    """The tables below ``path``, known by their columns."""
    headers = {file: _columns(file) for file in sorted(path.rglob("*.csv")) if file.is_file()}
    cells = tuple(file for file, names in headers.items() if names.issuperset(CELL_COLUMNS))
    regions = (file for file, names in headers.items() if names.issuperset(REGION_COLUMNS) and file not in cells)
    return Tables(cells, tuple(regions))


def read_slides(path: Path, tables: Tables) -> tuple[list[AnnotatedSlide], tuple[str, ...]]:
    """Slides with their annotations in the order of their names, and notes on what is missing.

    UserError, naming file and line, for a value that cannot be; and where not one of the slides is there.
    """
    if not tables.regions:
        raise UserError(
            f"{path}: expected a table of regions with the columns {', '.join(REGION_COLUMNS)} beside "
            f"{tables.cells[0].name}; found none. Copy it from the authors' release."
        )
    cells = _grouped(row for file in tables.cells for row in _cells(file))
    regions = _grouped(row for file in tables.regions for row in _regions(file))
    files = _slide_files(path)
    there = [slide_id for slide_id in sorted(cells) if slide_id in files]
    if not there:
        missing = min(cells, default="SLIDE")
        raise UserError(
            f"{tables.cells[0]}: expected the slides that it names, such as {missing}.mrxs or a folder {missing} with "
            f"its DICOM files, below {path}; found none of {len(cells)}. Download them there."
        )
    slides = [_slide(slide_id, files[slide_id], regions.get(slide_id, []), cells[slide_id]) for slide_id in there]
    absent = len(cells) - len(there)
    return slides, (f"slides with annotations that are not here, left out: {absent}",) if absent else ()


def _slide(slide_id: str, file: _SlideFile, regions: Sequence[Region], cells: Sequence[BoxedCell]) -> AnnotatedSlide:
    if file.corner_px is None:
        raise UserError(
            f"{file.path}: the header does not state openslide.bounds-x and -y of the MIRAX slide, from whose corner "
            f"the tables count. Give {slide_id}.mrxs, or the DICOM annotations instead of the tables."
        )
    dx, dy = file.corner_px
    width, height, um_per_px = measured(file.path)
    slide = AnnotatedSlide(
        path=file.path,
        patient=slide_id.split("_")[0],
        width_px=width,
        height_px=height,
        um_per_px=um_per_px,
        regions=tuple(
            replace(region, rect_px=replace(region.rect_px, x=region.rect_px.x - dx, y=region.rect_px.y - dy))
            for region in regions
        ),
        cells=tuple(replace(cell, box_px=_moved(cell.box_px, dx, dy)) for cell in _once(cells)),
    )
    check_within(slide, str(file.path.parent))
    return slide


def _slide_files(path: Path) -> Mapping[str, _SlideFile]:
    """Every slide below ``path`` by its identifier; the MIRAX file where both are there."""
    found: dict[str, _SlideFile] = {}
    for slide in find_files(path).slides:
        for name in (slide.path.parent.name, slide.container):
            found[name] = _SlideFile(slide.path, slide.bounds_px)
    for file in sorted(path.rglob("*.mrxs")):
        found[file.stem] = _SlideFile(file, (0, 0))
    return found


def _cells(file: Path) -> Iterator[tuple[str, BoxedCell]]:
    """Slide and cell of each row. A table without a consensus is the one for detection: boxes without a class."""
    for row, where in _rows(file):
        roi_id = _whole(row["roi_id"], where, "roi_id") if row["roi_id"].strip() else -1
        votes = row.get(_VOTES, "")
        yield (
            row["slide_id"],
            BoxedCell(
                cell_id=_whole(row["cell_id"], where, "cell_id"),
                roi_id=None if roi_id < 0 else roi_id,
                box_px=_box(row, where),
                published=(row[_CONSENSUS].strip() or NO_CONSENSUS) if _CONSENSUS in row else UNLABELLED,
                votes=tuple(vote.strip() or None for vote in votes.split(",")) if votes.strip() else (),
            ),
        )


def _regions(file: Path) -> Iterator[tuple[str, Region]]:
    for row, where in _rows(file):
        yield row["slide_id"], Region(_whole(row["roi_id"], where, "roi_id"), rect_of(_box(row, where)))


def _rows(file: Path) -> Iterator[tuple[dict[str, str], str]]:
    """Rows and how each is called in messages."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            for row in reader:
                where = f"{file}: line {reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(f"{where}: expected {len(reader.fieldnames or ())} values. Copy the file again.")
                yield row, where
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text (byte {error.start}). Store it as UTF-8.") from error


def _box(row: Mapping[str, str], where: str) -> Box:
    left, top, right, bottom = (number(row[side], where, side) for side in _SIDES)
    if right < left or bottom < top:
        raise UserError(f"{where}: the box ends before it begins. Wanted are x1 <= x2 and y1 <= y2.")
    return left, top, right, bottom


def _whole(text: str, where: str, what: str) -> int:
    """An identifier, also where a column with gaps was stored as 12.0."""
    value = number(text, where, what)
    if value != int(value):
        raise UserError(f"{where}: {what} must be a whole number, not {value:g}.")
    return int(value)


def _once(cells: Sequence[BoxedCell]) -> list[BoxedCell]:
    """One cell for each identifier, in their order; the labelled one of a cell that is in both kinds of table."""
    labelled_last = sorted(cells, key=lambda cell: (cell.cell_id, cell.published != UNLABELLED))
    return list({cell.cell_id: cell for cell in labelled_last}.values())


def _moved(box: Box, dx: int, dy: int) -> Box:
    return box[0] - dx, box[1] - dy, box[2] - dx, box[3] - dy


def _grouped(rows: Iterable[tuple[str, _Row]]) -> dict[str, list[_Row]]:
    """Rows of each slide, in their order."""
    found: dict[str, list[_Row]] = {}
    for slide_id, row in rows:
        found.setdefault(slide_id, []).append(row)
    return found


def _columns(file: Path) -> frozenset[str]:
    """Columns of a table that is separated by commas."""
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        return frozenset(next(csv.reader(stream), ()))
