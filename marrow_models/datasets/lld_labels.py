"""Label files of LeukemiaAttri and LLD: COCO json with attributes, and lines with more columns than YOLO's.

A line is ``cls x y w h``, then in the sparse set the rectangle of the field that was annotated, then the attributes:
six, or seven with the cell size first (the READMEs show six, the authors' loaders take seven). The READMEs give the
rectangle as ``px1 px2 py1 py2``, the loader takes ``x1 y1 x2 y2``: whichever fits the boxes counts. A box has no
attribute where the value is 2 (4 in the json files, where a third value has a meaning only for the size).
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from marrow_models.datasets.attributes import load_schema
from marrow_models.datasets.records import Box, MarkedCell
from marrow_models.errors import UserError
from marrow_models.records import Rect

if TYPE_CHECKING:
    from marrow_models.datasets.tree import Tree
    from marrow_models.taxonomy import Taxonomy

Sizes = Mapping[str, tuple[int, int]]
"""File name of each picture that is there to its (width, height) in pixels."""

ARTEFACT = "none"
"""The class of what is no cell, or cannot be named: marked, but neither to be found nor to be counted."""
_SLACK_PX = 1.5
"""Boxes were rounded: this much outside of the picture is cut off without a word."""
_NOT_GIVEN = frozenset({2, 4})
_COLUMNS = {5: (0, 0), 11: (0, 6), 12: (0, 7), 15: (4, 6), 16: (4, 7)}
"""Columns of a line to how many of them are the annotated rectangle, and how many attributes."""
_KEYS = MappingProxyType(
    {
        "cell_size": "cell_size",
        "nuclear_chromation": "nuclear_chromatin",
        "nuclear_chromatio": "nuclear_chromatin",
        "nuclear_chromatin": "nuclear_chromatin",
        "nuclear_shape": "nuclear_shape",
        "nucleous": "nucleus",
        "nucleolus": "nucleus",
        "nucleus": "nucleus",
        "cytoplasm": "cytoplasm",
        "cytoplasmic_basophilia": "cytoplasmic_basophilia",
        "cytoplasmic_vacuoles": "cytoplasmic_vacuoles",
    }
)
"""Every spelling in the files, blanks and case aside."""


@dataclass(frozen=True, slots=True)
class Field:
    """What is marked in one picture, by the picture's file name."""

    name: str
    cells: tuple[MarkedCell, ...]
    annotated_px: tuple[Rect, ...] | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """A label file, or folder of label files, as read."""

    fields: tuple[Field, ...]
    notes: tuple[str, ...] = ()


def read_coco(tree: Tree, name: str, sizes: Sizes, taxonomy: Taxonomy) -> Labels:
    """Read a json file of the data set; boxes of pictures that are not there are not looked at.

    ``bbox`` is x, y, width, height, or two corners as the authors' own converter wrote: corners where the first
    reading leaves the pictures and the second does not. UserError for anything else that does not fit.
    """
    path = tree.where(name)
    content = _json(tree, name)
    names = {item["id"]: str(item["file_name"]).rpartition("/")[2] for item in content["images"]}
    classes = {item["id"]: str(item["name"]) for item in content["categories"]}
    kept = [a for a in content["annotations"] if names.get(a["image_id"]) in sizes]
    if orphans := [a for a in content["annotations"] if a["image_id"] not in names]:
        raise UserError(f"{path}: annotation {orphans[0].get('id')} belongs to no image. Copy the file again.")
    boxes = [(_numbers(a["bbox"], f"{path}, annotation {a.get('id')}"), sizes[names[a["image_id"]]]) for a in kept]
    corners = _are_corners(boxes)
    cells: defaultdict[str, list[MarkedCell]] = defaultdict(list)
    for annotation, (numbers, size_px) in zip(kept, boxes, strict=True):
        where = f"{path}, annotation {annotation.get('id')}"
        x, y, a, b = numbers
        box = _inside((x, y, a, b) if corners else (x, y, x + a, y + b), size_px, where)
        raw = str(annotation.get("category_name") or classes.get(annotation["category_id"], annotation["category_id"]))
        found = {**annotation, **(annotation.get("attributes") or {})}
        given = {_KEYS[key]: value for k, value in found.items() if (key := _normal(k)) in _KEYS}
        cells[names[annotation["image_id"]]].append(_cell(raw, box, given, taxonomy, where))
    note = ("bbox holds two corners instead of corner and size; read so.",) if corners else ()
    unique = sorted(set(names.values()))
    return Labels(tuple(Field(name, tuple(cells[name])) for name in unique), note)


def read_lines(tree: Tree, files: Sequence[str], sizes: Sizes, taxonomy: Taxonomy) -> Labels:
    """Read the text files of a split, one a picture. In the sparse set, a picture without a line was not annotated."""
    by_stem = {PurePosixPath(name).stem: name for name in sizes}
    lines: dict[str, list[_Line]] = {}
    for file in files:
        stem = PurePosixPath(file).stem
        name = by_stem.get(stem, f"{stem}.png")
        lines[name] = _lines(tree, file, sizes[name]) if name in sizes else []
    every = [line for found in lines.values() for line in found]
    sparse, swapped = any(line.patch for line in every), _is_swapped(every)
    fields = tuple(_field(name, found, taxonomy, sparse=sparse, swapped=swapped) for name, found in lines.items())
    note = ("the annotated rectangle is x1 y1 x2 y2, not px1 px2 py1 py2 as documented; read so.",) if swapped else ()
    return Labels(fields, note)


@dataclass(frozen=True, slots=True)
class _Line:
    where: str
    size_px: tuple[int, int]
    raw: str
    box: Box
    patch: tuple[float, ...]
    """Pixels, in the order of the file; empty outside of the sparse set."""
    values: tuple[float, ...]

    def rect(self, *, swapped: bool) -> Box:
        """The annotated rectangle: left, top, right, bottom."""
        a, b, c, d = self.patch
        return (a, b, c, d) if swapped else (a, c, b, d)

    def fits(self, *, swapped: bool) -> bool:
        """Whether the rectangle is one, lies in the picture, and has a part of the box in it."""
        left, top, right, bottom = self.rect(swapped=swapped)
        width, height = self.size_px
        in_picture = (
            -_SLACK_PX <= left < right <= width + _SLACK_PX and -_SLACK_PX <= top < bottom <= height + _SLACK_PX
        )
        x0, y0, x1, y1 = self.box
        return in_picture and x0 < right and x1 > left and y0 < bottom and y1 > top


def _lines(tree: Tree, name: str, size_px: tuple[int, int]) -> list[_Line]:
    numbered = [(n, line.split()) for n, line in enumerate(tree.text(name).splitlines(), 1)]
    return [_line(words, f"{tree.where(name)}, line {n}", size_px) for n, words in numbered if words]


def _line(words: list[str], where: str, size_px: tuple[int, int]) -> _Line:
    if len(words) not in _COLUMNS:
        raise UserError(
            f"{where}: {len(words)} columns; expected cls x y w h, in the sparse set px1 px2 py1 py2, and then 6 or 7 "
            "attributes. For other lines use the layout yolo."
        )
    numbers = _numbers(words, where)
    in_patch, in_attributes = _COLUMNS[len(words)]
    width, height = size_px
    x, y, w, h = (value * scale for value, scale in zip(numbers[1:5], (width, height) * 2, strict=True))
    box = _inside((x - w / 2, y - h / 2, x + w / 2, y + h / 2), size_px, where)
    return _Line(
        where,
        size_px,
        f"{numbers[0]:g}",
        box,
        numbers[5 : 5 + in_patch],
        numbers[-in_attributes:] if in_attributes else (),
    )


def _is_swapped(lines: Sequence[_Line]) -> bool:
    """Which of the two orders of the rectangle most lines fit; the documented one where both do."""
    sparse = [line for line in lines if line.patch]
    return sum(line.fits(swapped=True) for line in sparse) > sum(line.fits(swapped=False) for line in sparse)


def _field(name: str, lines: Sequence[_Line], taxonomy: Taxonomy, *, sparse: bool, swapped: bool) -> Field:
    names = tuple(load_schema("lld7").values)
    cells = []
    patches: dict[Rect, None] = {}
    for line in lines:
        given = dict(zip(names[-len(line.values) :], line.values, strict=True)) if line.values else {}
        cells.append(_cell(line.raw, line.box, given, taxonomy, line.where))
        if line.patch:
            patches[_patch(line, swapped=swapped)] = None
    return Field(name, tuple(cells), tuple(patches) if sparse else None)


def _patch(line: _Line, *, swapped: bool) -> Rect:
    if not line.fits(swapped=swapped):
        raise UserError(f"{line.where}: the annotated rectangle does not hold the box, or leaves the picture.")
    left, top, right, bottom = line.rect(swapped=swapped)
    x, y = max(0, math.floor(left)), max(0, math.floor(top))
    return Rect(x, y, min(line.size_px[0], math.ceil(right)) - x, min(line.size_px[1], math.ceil(bottom)) - y)


def _cell(raw: str, box: Box, given: Mapping[str, Any], taxonomy: Taxonomy, where: str) -> MarkedCell:
    try:
        label = taxonomy.resolve(raw)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    values = load_schema("lld7").values
    attributes = {n: value for n in values if n in given and (value := _value(given[n], values[n], f"{where}: {n}"))}
    return MarkedCell(label, raw, box, attributes=MappingProxyType(attributes), ignored=label == ARTEFACT)


def _value(code: Any, values: Sequence[str], where: str) -> str:
    """The value that a code stands for; empty where it means that there is none."""
    if code is None:
        return ""
    if isinstance(code, int | float) and 0 <= code < len(values) and code == int(code):
        return values[int(code)]
    if code in _NOT_GIVEN:
        return ""
    raise UserError(f"{where} is {code!r}; expected 0 to {len(values) - 1}, or 2 or 4 for none.")


def _inside(box: Box, size_px: tuple[int, int], where: str) -> Box:
    """The box, cut at the edges of the picture; UserError where it has no size or leaves the picture."""
    left, top, right, bottom = box
    width, height = size_px
    if not (left < right and top < bottom):
        raise UserError(f"{where}: the box {_shown(box)} has no size.")
    if min(left, top) < -_SLACK_PX or right > width + _SLACK_PX or bottom > height + _SLACK_PX:
        raise UserError(f"{where}: the box {_shown(box)} leaves the picture of {width} x {height} px.")
    return max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)


def _are_corners(boxes: Sequence[tuple[tuple[float, ...], tuple[int, int]]]) -> bool:
    def leaves(right: float, bottom: float, size_px: tuple[int, int]) -> bool:
        return right > size_px[0] + _SLACK_PX or bottom > size_px[1] + _SLACK_PX

    as_size = any(leaves(x + w, y + h, size) for (x, y, w, h), size in boxes)
    as_corners = any(a <= x or b <= y or leaves(a, b, size) for (x, y, a, b), size in boxes)
    return as_size and not as_corners


def _numbers(values: Any, where: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: expected numbers, found {str(values)[:80]}.") from error
    if not all(math.isfinite(number) for number in numbers):
        raise UserError(f"{where}: expected finite numbers, found {str(values)[:80]}.")
    return numbers


def _json(tree: Tree, name: str) -> dict[str, Any]:
    path = tree.where(name)
    try:
        content = json.loads(tree.text(name))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a json file ({type(error).__name__}). Copy it again.") from error
    members = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(m), list) for m in members):
        raise UserError(f"{path}: not a COCO file: expected one object with the lists {', '.join(members)}.")
    required = {
        "images": ("id", "file_name"),
        "annotations": ("image_id", "category_id", "bbox"),
        "categories": ("id", "name"),
    }
    for member, keys in required.items():
        for item in content[member]:
            if not isinstance(item, dict) or any(key not in item for key in keys):
                raise UserError(f"{path}: an item of {member} lacks {' or '.join(keys)}. Copy the file again.")
            if not all(isinstance(item[key], int | str) for key in keys if key != "bbox"):
                raise UserError(f"{path}: an item of {member} has a {keys[0]} that is no number or text.")
    for item in content["annotations"]:
        if not isinstance(item["bbox"], list) or len(item["bbox"]) != 4:
            raise UserError(f"{path}: annotation {item.get('id')}: bbox must be a list of four numbers.")
    return content


def _normal(key: str) -> str:
    return "_".join(str(key).casefold().split())


def _shown(box: Box) -> str:
    return ", ".join(f"{value:.1f}" for value in box)
