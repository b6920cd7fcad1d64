"""From what a file says about one object to a :class:`MarkedCell`, with an account of what was wrong."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

from marrow_models.datasets.records import Box, MarkedCell
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from marrow_models.datasets.options import ReadOptions
    from marrow_models.taxonomy import Taxonomy

NONE: Mapping[str, str] = MappingProxyType({})
_ROUNDING_PX = 0.5
"""Boxes are published with a few digits: that much over the edge is no defect."""


def chosen_taxonomy(options: ReadOptions, layout: str) -> Taxonomy:
    """The taxonomy of a layout that implies none; UserError where the user did not choose one."""
    if options.taxonomy is None:
        raise UserError(
            f"--data {layout}: this layout does not say which classes it has. "
            f'Give taxonomy = "NAME" or "FILE.json" in the table [data.{layout}] of the configuration.'
        )
    return load_taxonomy(options.taxonomy)


class Marker:
    """Turns the objects of one data set into cells and keeps count of the defects it met."""

    def __init__(self, taxonomy: Taxonomy, root: Path) -> None:
        self.taxonomy = taxonomy
        self._root = str(root)
        self._defects: dict[str, list[str]] = {}

    def note(self, defect: str, where: str) -> None:
        """Count a defect, with the place where it was met; of a path, the part below the data set's folder is kept."""
        self._defects.setdefault(defect, []).append(where.removeprefix(self._root).lstrip(":/ "))

    def notes(self) -> tuple[str, ...]:
        """One sentence for each kind of defect: how often, and where first."""
        return tuple(f"{defect}: {len(places)} (first: {places[0]})" for defect, places in self._defects.items())

    def label(self, raw: str, where: str) -> str | None:
        """Label for a raw label; None for one that means "no class". UserError, opening with ``where``, otherwise."""
        try:
            return self.taxonomy.resolve(raw)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error

    def whole(self, raw: str, where: str, attributes: Mapping[str, str] = NONE) -> MarkedCell:
        """The cell of a picture that shows one cell."""
        label = self.label(raw, where)
        return MarkedCell(label, raw, attributes=attributes, ignored=label is None)

    def boxed(
        self, raw: str, box: Box, size_px: tuple[int, int], where: str, *, ignored: bool = False
    ) -> MarkedCell | None:
        """A cell with a box, clipped to its picture of (width, height); None for a box of zero size.

        An empty raw label is a box without a class. UserError, opening with ``where``, for a box that is not
        finite, reversed, or outside of the picture altogether: its numbers mean something else then.
        """
        left, top, right, bottom = box
        width, height = size_px
        if not all(math.isfinite(value) for value in box):
            raise UserError(f"{where}: a box has a number that is not finite. Correct or remove it.")
        if right < left or bottom < top:
            raise UserError(
                f"{where}: the box {_shown(box)} ends before it begins. Wanted are left, top, right and bottom."
            )
        if right == left or bottom == top:
            self.note("boxes of zero size, dropped", where)
            return None
        if left >= width or top >= height or right <= 0 or bottom <= 0:
            raise UserError(
                f"{where}: the box {_shown(box)} lies outside of its picture of {width} x {height} px. "
                "Check that the box is this picture's, and that its numbers are pixels."
            )
        clipped = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
        if max(abs(a - b) for a, b in zip(box, clipped, strict=True)) > _ROUNDING_PX:
            self.note("boxes that reach over the edge of their picture, clipped", where)
        label = self.label(raw, where) if raw else None
        return MarkedCell(label, raw, box_px=clipped, ignored=ignored or (bool(raw) and label is None))

    def pointed(self, raw: str, point: tuple[float, float], size_px: tuple[int, int], where: str) -> MarkedCell:
        """A cell of which only the centre is known. UserError for a point outside of the picture."""
        x, y = point
        if not (0 <= x <= size_px[0] and 0 <= y <= size_px[1]):
            raise UserError(
                f"{where}: the point ({x:g}, {y:g}) lies outside of its picture of {size_px[0]} x {size_px[1]} px."
            )
        label = self.label(raw, where) if raw else None
        return MarkedCell(label, raw, point_px=point, ignored=bool(raw) and label is None)


def number(text: str, where: str, what: str) -> float:
    """A finite number in ``text``; UserError that says ``what`` it should have been."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {what} must be a number, not {text[:40]!r}.")
    return value


def _shown(box: Box) -> str:
    return "(" + ", ".join(f"{value:g}" for value in box) + ")"
