"""Pictures and what is marked in them at the scale of a detector, from drawn fields or from data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrow_models.datasets.records import MarkedCell, Picture
from marrow_models.errors import UserError
from marrow_models.pyramid.scale import resampled
from marrow_models.records import Rect
from marrow_models.taxonomy import Taxonomy
from marrow_models.training.crops import as_slide, um_per_px_of
from marrow_models.training.fields import FieldSet
from marrow_models.training.kept import kept_pixels, stamp

KINDS = ("nucleated", "erythrocyte", "platelet")
"""What a detector can tell apart; an object's class says which it is."""


@dataclass(frozen=True, slots=True)
class MarkedPictures:
    """N pictures at one scale. Boxes are left, top, right, bottom in their pixels."""

    images: Sequence[NDArray[np.uint8]]
    """N arrays (H, W, 3)."""
    boxes: tuple[NDArray[np.float32], ...]
    """N arrays (M, 4)."""
    kinds: tuple[NDArray[np.int64], ...]
    """N arrays (M,): index into the kinds that are looked for."""
    ignored: tuple[NDArray[np.float32], ...]
    """N arrays (L, 4) of what is neither to be found nor to be held against a detector."""
    um_per_px: float
    patients: tuple[str | None, ...] = ()
    """(N,) whose picture it is; None where that is not known."""
    labels: tuple[tuple[str | None, ...], ...] = ()
    """N tuples (M,): the class of each box, where one is given."""

    def __len__(self) -> int:
        return len(self.images)

    @staticmethod
    def concatenate(parts: Sequence[MarkedPictures]) -> MarkedPictures:
        """All pictures of ``parts``, which are of one scale."""
        return MarkedPictures(
            [image for part in parts for image in part.images],
            tuple(boxes for part in parts for boxes in part.boxes),
            tuple(kinds for part in parts for kinds in part.kinds),
            tuple(ignored for part in parts for ignored in part.ignored),
            parts[0].um_per_px,
            tuple(patient for part in parts for patient in part.patients),
            tuple(labels for part in parts for labels in part.labels),
        )


def marked_fields(fields: FieldSet, um_per_px: float) -> MarkedPictures:
    """Drawn fields, averaged to a scale that is a whole multiple of theirs. All their cells are nucleated."""
    factor = round(um_per_px / fields.um_per_px)
    return MarkedPictures(
        list(reduced(fields.images, factor)),
        tuple(boxes / np.float32(factor) for boxes in fields.boxes),
        tuple(np.zeros(len(boxes), np.int64) for boxes in fields.boxes),
        tuple(ignored / np.float32(factor) for ignored in fields.ignored),
        um_per_px,
        (None,) * len(fields),
        fields.labels,
    )


def marked_pictures(
    pictures: Sequence[Picture], taxonomy: Taxonomy, kinds: Sequence[str], um_per_px: float, folder: Path
) -> MarkedPictures:
    """Pictures of a data set at ``um_per_px``; their pixels are kept in ``folder``.

    Raises UserError for a picture whose pixel size is not known, and where not one object is of ``kinds``.
    """
    boxes, numbers, ignored, labels = [], [], [], []
    for picture in pictures:
        found, kind, off, names = _objects(picture, taxonomy, kinds)
        scale = np.float32((picture.um_per_px or um_per_px) / um_per_px)
        boxes.append(found * scale)
        numbers.append(kind)
        ignored.append(off * scale)
        labels.append(names)
    if not sum(map(len, boxes)):
        raise UserError(f"No object of the data is one of {', '.join(kinds)} and has a box.")
    return MarkedPictures(
        _pixels(pictures, um_per_px, folder),
        tuple(boxes),
        tuple(numbers),
        tuple(ignored),
        um_per_px,
        tuple(picture.patient for picture in pictures),
        tuple(labels),
    )


def kind_of(cell: MarkedCell, taxonomy: Taxonomy) -> str | None:
    """What a detector should call an object; None for what is no object (artefacts, particles)."""
    if cell.label is None:
        return KINDS[0]
    cell_class = taxonomy.get(cell.label)
    if cell_class.nucleated:
        return KINDS[0]
    return cell_class.excluded_as if cell_class.excluded_as in KINDS else None


def reduced(images: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Average ``factor`` x ``factor`` pixels of (N, H, W, 3), as :mod:`marrow_models.pyramid.scale` does."""
    n, height, width, _ = images.shape
    sums = images.reshape(n, height // factor, factor, width // factor, factor, 3).sum(axis=(2, 4), dtype=np.uint32)
    return np.asarray((sums + factor * factor // 2) // (factor * factor), np.uint8)


def rescaled(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """``image`` (H, W, 3) with pixels ``factor`` times as large."""

    def read(rect: Rect) -> NDArray[np.uint8]:
        rows = np.clip(np.arange(rect.y, rect.bottom), 0, image.shape[0] - 1)
        columns = np.clip(np.arange(rect.x, rect.right), 0, image.shape[1] - 1)
        return image[rows[:, None], columns]

    height, width = round(image.shape[0] / factor), round(image.shape[1] / factor)
    return resampled(read, factor, Rect(0, 0, width, height)) if factor >= 1 else _enlarged(image, height, width)


def _enlarged(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _objects(
    picture: Picture, taxonomy: Taxonomy, kinds: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], tuple[str | None, ...]]:
    """Boxes, their kinds, boxes to ignore, in pixels of the picture as stored; and the labels of the boxes."""
    boxes, numbers, ignored, labels = [], [], [], []
    for cell in picture.cells:
        if cell.box_px is None:
            continue
        kind = kind_of(cell, taxonomy)
        if cell.ignored:
            ignored.append(cell.box_px)
        elif kind in kinds:
            boxes.append(cell.box_px)
            numbers.append(kinds.index(kind))
            labels.append(cell.label)
    ignored += _outside(picture)
    return (
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(numbers, np.int64),
        np.asarray(ignored, np.float32).reshape(-1, 4),
        tuple(labels),
    )


def _outside(picture: Picture) -> list[tuple[float, float, float, float]]:
    """What lies around the part that was annotated: four rectangles at most."""
    if picture.annotated_px is None:
        return []
    if len(picture.annotated_px) != 1:
        raise UserError(
            f"{picture.image.name}: {len(picture.annotated_px)} annotated parts; cut it into one picture each."
        )
    inner = picture.annotated_px[0]
    width, height = picture.width_px, picture.height_px
    around = [
        (0, 0, width, inner.y),
        (0, inner.bottom, width, height),
        (0, inner.y, inner.x, inner.bottom),
        (inner.right, inner.y, width, inner.bottom),
    ]
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in around if c > a and d > b]


def _pixels(pictures: Sequence[Picture], um_per_px: float, folder: Path) -> list[NDArray[np.uint8]]:
    """The pictures at a scale, mapped from one file in ``folder``."""
    sides = [_size_at(picture, um_per_px) for picture in pictures]
    starts = np.concatenate([[0], np.cumsum([height * width * 3 for height, width in sides])])

    def draw(out: NDArray[np.uint8]) -> None:
        for picture, (height, width), start in zip(pictures, sides, starts, strict=False):
            pixels = as_slide(picture).scaled_region(um_per_px, Rect(0, 0, width, height))
            out[start : start + pixels.size] = pixels.ravel()

    origin = (um_per_px, [(stamp(picture.image), picture.um_per_px) for picture in pictures])
    flat = kept_pixels(folder, "pictures", origin, (int(starts[-1]),), draw)
    return [
        flat[start : start + height * width * 3].reshape(height, width, 3)
        for (height, width), start in zip(sides, starts, strict=False)
    ]


def _size_at(picture: Picture, um_per_px: float) -> tuple[int, int]:
    scale = um_per_px_of(picture) / um_per_px
    return max(1, int(np.ceil(picture.height_px * scale))), max(1, int(np.ceil(picture.width_px * scale)))
