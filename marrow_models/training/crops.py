"""Crops around cells with a margin to turn and shift them in, from drawn fields or from pictures of a data set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrow_models.datasets.images import read_image
from marrow_models.datasets.records import MarkedCell, Picture
from marrow_models.errors import UserError
from marrow_models.records import Rect
from marrow_models.training.array_slide import ArraySlide
from marrow_models.training.fields import FieldSet
from marrow_models.training.kept import kept_pixels, stamp

MISSING = -1


@dataclass(frozen=True, slots=True)
class CropShape:
    """What is cut out: ``crop_px`` for the network and a margin on each side."""

    um_per_px: float
    crop_px: int
    margin_px: int = 0
    scanner_um_per_px: float | None = None
    """Pictures that are finer are averaged to this pixel size first: what a coarser scanner would have seen."""

    @property
    def side_px(self) -> int:
        """Side of what is stored."""
        return self.crop_px + 2 * self.margin_px


@dataclass(frozen=True, slots=True)
class CropSet:
    """N crops, their classes and what else is known of them."""

    images: NDArray[np.uint8]
    """(N, side, side, 3), in memory or on disk."""
    classes: NDArray[np.int64]
    """(N,) index into ``labels``; -1 where no class is given."""
    labels: tuple[str, ...]
    shape: CropShape
    votes: NDArray[np.float32] | None = None
    """(N, K) share of the raters for each label, where several looked."""
    attributes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    """Name of an attribute to (N,) index into its values, -1 where it is not known."""
    attribute_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patients: tuple[str | None, ...] = ()
    """(N,) whose cell it is; None where that is not known."""

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, index: NDArray[np.int64]) -> CropSet:
        """The crops at ``index``, in that order."""
        return CropSet(
            self.images[index],
            self.classes[index],
            self.labels,
            self.shape,
            None if self.votes is None else self.votes[index],
            {name: values[index] for name, values in self.attributes.items()},
            self.attribute_values,
            tuple(self.patients[i] for i in index) if self.patients else (),
        )


def crops_of(fields: FieldSet, labels: Sequence[str], shape: CropShape) -> CropSet:
    """Cut a crop around every true cell of ``fields`` whose label is among ``labels``; white beyond the field."""
    size = shape.side_px
    known = {label: index for index, label in enumerate(labels)}
    images, classes = [], []
    for image, boxes, names in zip(fields.images, fields.boxes, fields.labels, strict=True):
        padded = np.pad(image, ((size, size), (size, size), (0, 0)), constant_values=255)
        for (left, top, right, bottom), name in zip(boxes, names, strict=True):
            # A cell cut by the field's edge is another picture than one cut by the slide's edge: rare, so left out.
            if name not in known or left <= 0 or top <= 0 or right >= len(image) or bottom >= len(image):
                continue
            x, y = int((left + right) / 2) + size - size // 2, int((top + bottom) / 2) + size - size // 2
            images.append(padded[y : y + size, x : x + size])
            classes.append(known[name])
    return CropSet(np.stack(images), np.asarray(classes, np.int64), tuple(labels), shape)


def crops_of_pictures(
    pictures: Sequence[Picture],
    labels: Sequence[str],
    shape: CropShape,
    folder: Path,
    *,
    attribute_values: Mapping[str, tuple[str, ...]] | None = None,
) -> CropSet:
    """Cut a crop around every example in ``pictures`` that has a label among ``labels`` or an attribute.

    Pixels are kept in ``folder`` and read from there the next time. Raises UserError for a picture whose pixel size
    is not known: cells of another size would be other cells.
    """
    schema = dict(attribute_values or {})
    known = {label: index for index, label in enumerate(labels)}
    chosen = [
        (picture, cell)
        for picture in pictures
        for cell in examples_of(picture)
        if cell.label in known or cell.attributes.keys() & schema.keys()
    ]
    votes = _votes([cell for _, cell in chosen], known)
    return CropSet(
        _pixels(chosen, shape, folder),
        np.asarray([known.get(cell.label or "", MISSING) for _, cell in chosen], np.int64),
        tuple(labels),
        shape,
        votes,
        {
            name: np.asarray([_index(values, cell.attributes.get(name)) for _, cell in chosen], np.int64)
            for name, values in schema.items()
        },
        schema,
        tuple(picture.patient for picture, _ in chosen),
    )


def centre_crops(crops: CropSet, part: slice = slice(None)) -> NDArray[np.uint8]:
    """The crops of ``part`` without their margin, (N, crop, crop, 3)."""
    inner = slice(crops.shape.margin_px, crops.shape.margin_px + crops.shape.crop_px)
    return np.array(crops.images[part, inner, inner])  # a copy: what lies on disk cannot be written to


def examples_of(picture: Picture) -> tuple[MarkedCell, ...]:
    """What a picture can teach a classifier: its cells less those to be ignored.

    A picture with a class of its own in which nothing is marked is one example, with its centre in the middle.
    """
    if picture.label is not None and not picture.cells:
        return (MarkedCell(picture.label, picture.label),)
    return tuple(cell for cell in picture.cells if not cell.ignored)


def centre_of(picture: Picture, cell: MarkedCell) -> tuple[float, float]:
    """Where a cell lies, pixels of the picture."""
    if cell.box_px is not None:
        left, top, right, bottom = cell.box_px
        return (left + right) / 2, (top + bottom) / 2
    return cell.point_px or (picture.width_px / 2, picture.height_px / 2)


def _pixels(chosen: Sequence[tuple[Picture, MarkedCell]], shape: CropShape, folder: Path) -> NDArray[np.uint8]:
    """(N, side, side, 3), mapped from a file in ``folder``."""
    if not chosen:
        raise UserError("No cell of the data has a label or an attribute that is to be learned.")
    size = shape.side_px

    def draw(out: NDArray[np.uint8]) -> None:
        slide: ArraySlide | None = None
        last: Picture | None = None
        for index, (picture, cell) in enumerate(chosen):
            if slide is None or picture is not last:
                (stored, around_px), last = _with_surroundings(picture, size * shape.um_per_px / 2), picture
                slide = as_scanned(stored, shape.scanner_um_per_px)
            fine = um_per_px_of(picture)
            x, y = ((place + around_px) * fine / shape.um_per_px for place in centre_of(picture, cell))
            out[index] = slide.scaled_region(
                shape.um_per_px, Rect(round(x) - size // 2, round(y) - size // 2, size, size)
            )

    origin = (shape, [(stamp(p.image), p.um_per_px, centre_of(p, c)) for p, c in chosen])
    return kept_pixels(folder, "crops", origin, (len(chosen), size, size, 3), draw)


def _with_surroundings(picture: Picture, reach_um: float) -> tuple[ArraySlide, int]:
    """The picture, and how many pixels around it are there as well: a part of a slide goes on beyond its edges."""
    rect = picture.image.rect_px
    if rect is None:
        return as_slide(picture), 0
    around_px = math.ceil(reach_um / um_per_px_of(picture))
    wider = replace(picture, image=replace(picture.image, rect_px=rect.expanded(around_px)))
    return as_slide(wider), around_px


def as_slide(picture: Picture) -> ArraySlide:
    """The picture as something that regions are read from at any scale; UserError without a pixel size."""
    return ArraySlide(read_image(picture.image), um_per_px_of(picture))


def as_scanned(slide: ArraySlide, um_per_px: float | None) -> ArraySlide:
    """``slide`` with pixels of ``um_per_px``, where those are larger than its own."""
    if um_per_px is None or um_per_px <= slide.um_per_px:
        return slide
    factor = slide.um_per_px / um_per_px
    rect = Rect(0, 0, math.ceil(slide.info.width_px * factor), math.ceil(slide.info.height_px * factor))
    return ArraySlide(slide.scaled_region(um_per_px, rect), um_per_px)


def um_per_px_of(picture: Picture) -> float:
    """The pixel size; UserError that says where to give it, for a picture of which it is not known."""
    if picture.um_per_px is not None:
        return picture.um_per_px
    given = f"um_per_px_by_domain.{picture.domain} (or um_per_px)" if picture.domain else "um_per_px"
    raise UserError(
        f"{picture.image.name}: the data set does not state the pixel size. Give {given} for it in the "
        "configuration, [data.NAME]."
    )


def _votes(cells: Sequence[MarkedCell], known: Mapping[str, int]) -> NDArray[np.float32] | None:
    if not any(cell.votes for cell in cells):
        return None
    shares = np.zeros((len(cells), len(known)), np.float32)
    for row, cell in enumerate(cells):
        names = [name for name in cell.votes or (cell.label,) if name in known]
        for name in names:
            shares[row, known[name or ""]] += 1 / len(names)
    return shares


def _index(values: Sequence[str], value: str | None) -> int:
    return values.index(value) if value in values else MISSING
