"""An annotated slide of BoneMarrowWSI-PediatricLeukemia, in whatever form it came, and the pictures it becomes.

Regions are of two kinds: fields (2048 x 2048 px), in which every cell was marked, and large monolayer areas, which
say where a smear can be read and nothing about each cell in them. A field becomes a picture; a cell that lies in no
field (few do) becomes a small picture of its own, of which no more than its box counts as annotated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from marrow_models.datasets.records import ImageRef, MarkedCell, Picture
from marrow_models.errors import MarrowError, UserError
from marrow_models.records import Rect
from marrow_models.slides.mirax import is_mirax, mirax_members
from marrow_models.slides.open import open_slide

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from marrow_models.datasets.consensus import Verdict
    from marrow_models.datasets.records import Box

FIRST_AREA = 2000
"""Regions with this identifier or a higher one are monolayer areas, the others are fields."""


@dataclass(frozen=True, slots=True)
class Region:
    """A region of interest, in pixels of its slide."""

    roi_id: int
    rect_px: Rect

    @property
    def is_area(self) -> bool:
        """Whether it is a monolayer area and no field."""
        return self.roi_id >= FIRST_AREA


@dataclass(frozen=True, slots=True)
class BoxedCell:
    """An object as its file gives it."""

    cell_id: int
    """Unique in the data set."""
    roi_id: int | None
    """None: in no region."""
    box_px: Box
    """In pixels of the slide."""
    published: str | None
    """Raw label of the consensus; None where the consensus lacks the object."""
    votes: tuple[str | None, ...] = ()
    """Raw labels in the order of the sessions; None for one that is lost."""


@dataclass(frozen=True, slots=True)
class AnnotatedSlide:
    """A slide with what was marked on it. Level-0 pixels of ``path``."""

    path: Path
    patient: str
    width_px: int
    height_px: int
    um_per_px: float | None
    regions: tuple[Region, ...]
    cells: tuple[BoxedCell, ...]

    @property
    def fields(self) -> tuple[Region, ...]:
        """The regions in which every cell was marked: fields with cells, in the order of their identifiers."""
        return tuple(sorted(set(self.fields_of_cells().values()), key=_order))

    @property
    def areas(self) -> tuple[Region, ...]:
        """The monolayer areas in the order of their identifiers."""
        return tuple(sorted((region for region in self.regions if region.is_area), key=_order))

    def fields_of_cells(self) -> Mapping[int, Region]:
        """Identifier of each cell whose centre lies in a field to that field: its own, or else the first."""
        all_fields = sorted((region for region in self.regions if not region.is_area), key=_order)
        fields = list({field.rect_px: field for field in all_fields}.values())  # each place once
        found: dict[int, Region] = {}
        for cell in self.cells:
            around = [field for field in fields if _holds(field.rect_px, cell.box_px)]
            if around:
                found[cell.cell_id] = next((f for f in around if f.roi_id == cell.roi_id), around[0])
        return found


def measured(path: Path) -> tuple[int, int, float | None]:
    """Width and height in pixels and micrometres per pixel of a slide. UserError, naming it, if it cannot be read."""
    try:
        reader = open_slide(path.resolve(), mirax_members(path.resolve()) if is_mirax(path) else ())
    except MarrowError as error:
        raise UserError(f"{path}: the slide cannot be read ({error}). Download it again, or take it out.") from error
    info = reader.info
    reader.close()
    return info.width_px, info.height_px, info.um_per_px


def rect_of(box: Box) -> Rect:
    """The pixels that a box touches."""
    left, top = math.floor(box[0]), math.floor(box[1])
    return Rect(left, top, math.ceil(box[2]) - left, math.ceil(box[3]) - top)


def check_within(slide: AnnotatedSlide, where: str) -> None:
    """UserError, opening with ``where``, if a region or an object has its centre outside of the slide."""
    whole = Rect(0, 0, slide.width_px, slide.height_px)
    boxes = [(f"region {region.roi_id}", _box(region.rect_px)) for region in slide.regions]
    boxes += [(f"cell {cell.cell_id}", cell.box_px) for cell in slide.cells]
    for what, box in boxes:
        if not _holds(whole, box):
            raise UserError(
                f"{where}: {what} at ({box[0]:g}, {box[1]:g}) lies outside of {slide.path.name} with its "
                f"{slide.width_px} x {slide.height_px} px. Check that the annotations are of this slide and count "
                "from the same corner."
            )


def pictures_of(slide: AnnotatedSlide, verdicts: Sequence[Verdict]) -> Iterator[Picture]:
    """The fields of a slide by identifier, then the cells outside of them; ``verdicts`` are those of its cells.

    An object that reaches into a field without belonging to it is in the field's picture as one to be ignored.
    """
    field_of = slide.fields_of_cells()
    for field in slide.fields:
        rect = _within(field.rect_px, slide)
        marked = [
            _marked(cell, verdict, rect, ignored=field_of.get(cell.cell_id) != field)
            for cell, verdict in zip(slide.cells, verdicts, strict=True)
            if _overlap(cell.box_px, rect)
        ]
        yield _picture(slide, rect, tuple(marked), None)
    alone: dict[Rect, list[MarkedCell]] = {}
    for cell, verdict in zip(slide.cells, verdicts, strict=True):
        if cell.cell_id not in field_of:
            rect = _surroundings(cell.box_px, slide)
            alone.setdefault(rect, []).append(_marked(cell, verdict, rect, ignored=False))
    for rect, cells in alone.items():  # several only where a box was drawn twice
        yield _picture(slide, rect, tuple(cells), (_extent(cells),))


def _picture(
    slide: AnnotatedSlide, rect: Rect, cells: tuple[MarkedCell, ...], annotated_px: tuple[Rect, ...] | None
) -> Picture:
    return Picture(
        image=ImageRef(slide.path, rect_px=rect),
        width_px=rect.width,
        height_px=rect.height,
        um_per_px=slide.um_per_px,
        cells=cells,
        patient=slide.patient,
        annotated_px=annotated_px,
    )


def _marked(cell: BoxedCell, verdict: Verdict, rect: Rect, *, ignored: bool) -> MarkedCell:
    box = _clipped(cell.box_px, rect)
    return MarkedCell(verdict.label, verdict.raw_label, box_px=box, votes=verdict.votes, ignored=ignored)


def _extent(cells: Sequence[MarkedCell]) -> Rect:
    boxes = [cell.box_px for cell in cells if cell.box_px is not None]
    return rect_of(
        (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
    )


def _surroundings(box: Box, slide: AnnotatedSlide) -> Rect:
    """The box with as much around it on every side as it is long."""
    side = max(box[2] - box[0], box[3] - box[1])
    return _within(rect_of((box[0] - side, box[1] - side, box[2] + side, box[3] + side)), slide)


def _within(rect: Rect, slide: AnnotatedSlide) -> Rect:
    left, top = max(rect.x, 0), max(rect.y, 0)
    return Rect(left, top, min(rect.right, slide.width_px) - left, min(rect.bottom, slide.height_px) - top)


def _clipped(box: Box, rect: Rect) -> Box:
    """``box`` in pixels of ``rect``, cut at its sides."""
    left, top = max(box[0] - rect.x, 0.0), max(box[1] - rect.y, 0.0)
    return left, top, min(box[2] - rect.x, float(rect.width)), min(box[3] - rect.y, float(rect.height))


def _holds(rect: Rect, box: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return rect.x <= x < rect.right and rect.y <= y < rect.bottom


def _overlap(box: Box, rect: Rect) -> bool:
    return box[0] < rect.right and box[2] > rect.x and box[1] < rect.bottom and box[3] > rect.y


def _order(region: Region) -> tuple[int, int, int]:
    return region.roi_id, region.rect_px.y, region.rect_px.x


def _box(rect: Rect) -> Box:
    return float(rect.x), float(rect.y), float(rect.right), float(rect.bottom)
