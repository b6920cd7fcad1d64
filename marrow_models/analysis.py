"""Fields of a slide: their cells, found and classified from the same pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from marrow_models.bundle import Bundle
from marrow_models.classification import Classifier
from marrow_models.detection import SUBPIXELS, Detections, Detector, PixelSource
from marrow_models.memory import Effort, give_back, with_less_memory
from marrow_models.networks.loading import load_networks
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import CellAttribute, CellTable, Field, Rect, SlideInfo
from marrow_models.regions import regions_of
from marrow_models.tiling import Cut


class SlidePixels(PixelSource, Protocol):
    """A slide that can be analysed: a :class:`Pyramid`, or an array in a test."""

    um_per_px: float
    info: SlideInfo
    missing_px: NDArray[np.int64]
    """Areas of level 0 whose pixels are not known, (N, 4): left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """The cells of some fields, and at what effort they were found."""

    cells: CellTable
    effort: Effort
    reduced: bool
    """Whether memory was too short for the effort that was asked for, or the GPU failed."""


def analyse_within_memory(store: Path, fields: Sequence[Field], bundle: Bundle, effort: Effort) -> Analysed:
    """As :func:`analyse_fields`, in smaller and smaller pieces when memory is short; the cells are the same.

    Raises SlideRefused(OOM) or SlideRefused(GPU) when even the smallest piece is too much.
    """

    def attempt(now: Effort) -> CellTable:
        return analyse_fields(store, fields, bundle, batch_size=now.batch_size, tile_px=now.tile_px, device=now.device)

    cells, reached = with_less_memory(attempt, effort)
    return Analysed(cells, reached, reached != effort)


def analyse_field(
    store: Path, field: Field, bundle: Bundle, *, batch_size: int, tile_px: int, device: str = "cpu"
) -> CellTable:
    """The cells of the slide at ``store`` whose centre lies in ``field``; see :func:`analyse_fields`."""
    return analyse_fields(store, (field,), bundle, batch_size=batch_size, tile_px=tile_px, device=device)


def analyse_fields(
    store: Path, fields: Sequence[Field], bundle: Bundle, *, batch_size: int, tile_px: int, device: str = "cpu"
) -> CellTable:
    """The cells of the slide at ``store`` whose centre lies in one of ``fields``, as field by field but faster.

    Neighbours are read together, without the halo between them (see :func:`marrow_models.survey.neighbours`).
    ``batch_size`` and ``tile_px`` change speed and memory, never a cell. Raises SlideRefused(MODEL_OUTPUT) when a
    network returns what is no number, and StoreError for a store that is not whole.
    """
    return analyse_pixels(Pyramid.open(store), fields, bundle, batch_size=batch_size, tile_px=tile_px, device=device)


def analyse_pixels(
    slide: SlidePixels,
    fields: Sequence[Field],
    bundle: Bundle,
    *,
    batch_size: int,
    tile_px: int,
    shift_px: int = 0,
    device: str = "cpu",
) -> CellTable:
    """See :func:`analyse_fields`. ``shift_px`` moves the tile grid, which changes no cell either."""
    detector, classifier = load_networks(bundle, device)
    unit_um = bundle.detector.um_per_px / SUBPIXELS
    parts, field_id = [], []
    for members, found in _detected(slide, fields, detector, tile_px, shift_px):
        counted = found.take(np.isin(found.kind, bundle.detector.counted_kinds))
        owner = _owners(members, slide.um_per_px, *_centres(counted, unit_um))
        parts.append(counted.take(owner >= 0))
        field_id.append(owner[owner >= 0])
    if device == "cpu":
        give_back()  # the classifier's layers are of other sizes than the detector's
    # Of all regions at once: batches of cells are then full, and each is cut out while another is classified.
    tables = [_table(slide, bundle, parts, field_id, classifier, batch_size)] if parts else []
    return CellTable.concatenate(tables, bundle.labels, bundle.classifier.attributes)


def _detected(
    slide: SlidePixels, fields: Sequence[Field], detector: Detector, tile_px: int, shift_px: int
) -> Iterator[tuple[tuple[Field, ...], Detections]]:
    """Yield the objects of each region of ``fields``, with the fields that it was looked at for."""
    factor = slide.um_per_px / detector.settings.um_per_px
    cut = detector.cut(tile_px)
    on_slide = Cut(max(1, round(cut.tile_px / factor)), math.ceil(cut.halo_px / factor), cut.most_px / factor**2)
    regions = regions_of(fields, on_slide)
    rects = [_on_lattice(region.rect_px, factor) for region in regions]
    found = detector.detect_each(slide, rects, tile_px=tile_px, shift_px=shift_px)
    for region, objects in zip(regions, found, strict=True):
        yield region.fields, objects


def _table(
    slide: SlidePixels,
    bundle: Bundle,
    parts: list[Detections],
    field_id: list[NDArray[np.int32]],
    classifier: Classifier,
    batch_size: int,
) -> CellTable:
    """All objects of ``parts``, each of the field of its ``field_id``, classified."""
    unit_um = bundle.detector.um_per_px / SUBPIXELS
    found = Detections.joined(parts)
    x_um, y_um = _centres(found, unit_um)
    told = classifier.classify(slide, x_um, y_um, batch_size=batch_size)
    values = bundle.classifier.attributes
    return CellTable(
        x_um,
        y_um,
        (found.width * unit_um).astype(np.float32),
        (found.height * unit_um).astype(np.float32),
        found.score.astype(np.float32),
        told.probabilities,
        np.concatenate(field_id),
        _near_missing(found, unit_um, slide),
        bundle.labels,
        {name: CellAttribute.of(values[name], chances) for name, chances in told.attributes.items()},
    )


def _on_lattice(rect_px: Rect, factor: float) -> Rect:
    """The smallest rectangle of the detector's lattice around a rectangle of level 0."""
    left, top = math.floor(rect_px.x * factor), math.floor(rect_px.y * factor)
    right, bottom = math.ceil(rect_px.right * factor), math.ceil(rect_px.bottom * factor)
    return Rect(left, top, right - left, bottom - top)


def _centres(found: Detections, unit_um: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.asarray(found.x * unit_um, np.float64), np.asarray(found.y * unit_um, np.float64)


def _owners(
    fields: Sequence[Field], um_per_px: float, x_um: NDArray[np.float64], y_um: NDArray[np.float64]
) -> NDArray[np.int32]:
    """The field that each place belongs to, -1 for none.

    Half-open, and with the same products on both sides of a border: each cell has one field.
    """
    owner = np.full(len(x_um), -1, np.int32)
    for field in fields:
        left, right = field.rect_px.x * um_per_px, field.rect_px.right * um_per_px
        top, bottom = field.rect_px.y * um_per_px, field.rect_px.bottom * um_per_px
        owner[(x_um >= left) & (x_um < right) & (y_um >= top) & (y_um < bottom)] = field.field_id
    return owner


def _near_missing(found: Detections, unit_um: float, slide: SlidePixels) -> NDArray[np.bool_]:
    """Whether each box touches an area without pixels, or reaches over the slide's edge."""
    left, right = (found.x - found.width / 2) * unit_um, (found.x + found.width / 2) * unit_um
    top, bottom = (found.y - found.height / 2) * unit_um, (found.y + found.height / 2) * unit_um
    um = slide.um_per_px
    near = (left < 0) | (top < 0) | (right > slide.info.width_px * um) | (bottom > slide.info.height_px * um)
    areas = slide.missing_px * um
    if len(found):  # of a hundred thousand areas, those around these cells
        after_start = (areas[:, 2] > left.min()) & (areas[:, 3] > top.min())
        areas = areas[after_start & (areas[:, 0] < right.max()) & (areas[:, 1] < bottom.max())]
        for x, y, far_x, far_y in areas:
            near |= (left < far_x) & (right > x) & (top < far_y) & (bottom > y)
    return np.asarray(near, bool)
