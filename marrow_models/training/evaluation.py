"""What trained networks are worth, on fields that they were not trained on.

Boxes are judged as COCO does (average precision at an overlap of 0.5, by MONAI's COCOMetric); classes are judged on
the cells that were found, as a user gets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from monai.apps.detection.metrics.coco import COCOMetric
from monai.apps.detection.metrics.matching import matching_batch
from monai.data.box_utils import box_iou
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from marrow_models.classification import Classifier
from marrow_models.detection import SUBPIXELS, Detections, Detector
from marrow_models.records import Rect
from marrow_models.taxonomy import Taxonomy
from marrow_models.training.array_slide import ArraySlide
from marrow_models.training.fields import FieldSet

MATCH_IOU = 0.5
_MOST_PER_FIELD = 10_000
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Found:
    """What the networks say of one field, next to the truth. Boxes (N, 4) are left, top, right, bottom in um."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float32]
    """(N, K)"""
    true_boxes: NDArray[np.float64]
    true_labels: tuple[str, ...]
    match: NDArray[np.int64]
    """(N,) index of the true cell that a box is on, -1 where there is none."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures on a set of fields."""

    fields: int
    cells: int
    ap50: float
    """Average precision of the boxes at an overlap of 0.5."""
    recall: float
    """Share of the true cells that were found."""
    precision: float
    """Share of what was found that is a true cell."""
    label_accuracy: float
    """Share of the found cells with the right label of the taxonomy."""
    category_accuracy: float
    """Share of the found cells with the right ICSH category, those outside the differential by label."""
    categories: tuple[str, ...]
    confusion: NDArray[np.int64]
    """(C, C) found cells by true (row) and given (column) category."""
    largest_bias: float
    """Largest error of a category's share of all cells, in percentage points."""

    def as_json(self) -> dict[str, object]:
        """The figures for a file."""
        names = ("ap50", "recall", "precision", "label_accuracy", "category_accuracy", "largest_bias")
        return {
            "fields": self.fields,
            "cells": self.cells,
            **{name: round(float(getattr(self, name)), 4) for name in names},
            "categories": list(self.categories),
            "confusion": self.confusion.tolist(),
        }


def look_for_cells(detector: Detector, classifier: Classifier, fields: FieldSet) -> list[Found]:
    """Run both networks over ``fields``. What lies on a cell to be ignored, or on one cut by the edge, is left out."""
    return [
        _found(detector, classifier, *field)
        for field in zip(
            fields.images, fields.boxes, fields.labels, fields.ignored, [fields.um_per_px] * len(fields), strict=True
        )
    ]


def evaluate(found: Sequence[Found], labels: Sequence[str], taxonomy: Taxonomy) -> Evaluation:
    """Figures over all of ``found``; ``labels`` are those of the classifier's outputs."""
    group = {label: taxonomy.category_of(label) or label for label in taxonomy.labels}
    pairs = [
        (field.true_labels[true], labels[int(given)])
        for field in found
        for true, given in zip(field.match, field.probabilities.argmax(axis=1), strict=True)
        if true >= 0
    ]
    categories = tuple(dict.fromkeys(group[label] for label in labels))
    place = {name: index for index, name in enumerate(categories)}
    confusion = np.zeros((len(categories), len(categories)), np.int64)
    for true, given in pairs:
        confusion[place[group[true]], place[group[given]]] += 1
    cells = sum(len(field.true_labels) for field in found)
    boxes = sum(len(field.match) for field in found)
    shares = confusion.sum(axis=0) - confusion.sum(axis=1)
    return Evaluation(
        fields=len(found),
        cells=cells,
        ap50=average_precision(found),
        recall=len(pairs) / max(1, cells),
        precision=len(pairs) / max(1, boxes),
        label_accuracy=sum(true == given for true, given in pairs) / max(1, len(pairs)),
        category_accuracy=float(np.trace(confusion)) / max(1, len(pairs)),
        categories=categories,
        confusion=confusion,
        largest_bias=100 * float(np.abs(shares).max()) / max(1, len(pairs)),
    )


def average_precision(found: Sequence[Found], iou: float = MATCH_IOU) -> float:
    """COCO's average precision over all fields at one overlap; 0 where there is nothing to find."""
    metric = COCOMetric(
        ["cell"], iou_list=[iou], iou_range=(iou, iou, 0.05), max_detection=[_MOST_PER_FIELD], verbose=False
    )
    matched = matching_batch(
        iou_fn=_overlap,
        iou_thresholds=[iou],
        pred_boxes=[field.boxes for field in found],
        pred_classes=[np.zeros(len(field.boxes), int) for field in found],
        pred_scores=[field.scores for field in found],
        gt_boxes=[field.true_boxes for field in found],
        gt_classes=[np.zeros(len(field.true_boxes), int) for field in found],
        gt_ignore=[np.zeros(len(field.true_boxes), bool) for field in found],
        max_detections=_MOST_PER_FIELD,
    )
    values, _ = metric(matched)
    return max(0.0, float(values[f"AP_IoU_{iou:.2f}_MaxDet_{_MOST_PER_FIELD}"]))


def best_threshold(found: Sequence[Found]) -> float:
    """The score from which a box is taken so that recall and precision balance best (largest F1), to 0.01."""
    scores = np.concatenate([field.scores for field in found])
    hits = np.concatenate([field.match >= 0 for field in found])
    cells = sum(len(field.true_labels) for field in found)
    candidates = np.arange(0.05, 0.96, 0.01)
    f1 = [2 * hits[scores >= t].sum() / max(1, cells + (scores >= t).sum()) for t in candidates]
    best = np.flatnonzero(np.isclose(f1, max(f1), atol=1e-4))
    # The middle of the flat top: the least sensitive to another stain.
    return round(float(candidates[best[len(best) // 2]]), 2)


def fitted_temperature(found: Sequence[Found], labels: Sequence[str]) -> float:
    """The temperature that makes confidences fit frequencies best (Guo et al. 2017, arXiv:1706.04599), to 0.01.

    ``found`` holds probabilities at temperature 1.
    """
    place = {label: index for index, label in enumerate(labels)}
    on_cell = [(field, true, row) for field in found for row, true in enumerate(field.match) if true >= 0]
    if not on_cell:
        return 1.0
    logs = np.log(np.clip([field.probabilities[row] for field, _, row in on_cell], 1e-6, None))
    truth = np.asarray([place[field.true_labels[true]] for field, true, _ in on_cell])

    def loss(temperature: float) -> float:
        scaled = logs / temperature
        return float(np.mean(logsumexp(scaled, axis=1) - scaled[np.arange(len(truth)), truth]))

    return round(float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x), 2)


def _found(
    detector: Detector,
    classifier: Classifier,
    image: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    labels: tuple[str, ...],
    ignored: NDArray[np.float32],
    um_per_px: float,
) -> Found:
    slide = ArraySlide(image, um_per_px)
    scale = detector.settings.um_per_px
    side = round(len(image) * um_per_px / scale)
    detections = detector.detect(slide, Rect(0, 0, side, side), tile_px=side)
    centres = np.stack([detections.x, detections.y], axis=1) * (scale / SUBPIXELS)
    # A cell that the field's edge cuts looks like nothing that a slide holds: neither found nor missed.
    cut = np.any(boxes <= 0, axis=1) | np.any(boxes >= len(image), axis=1)
    true_boxes = boxes[~cut].astype(np.float64) * um_per_px
    true_labels = tuple(label for label, is_cut in zip(labels, cut, strict=True) if not is_cut)
    off = np.concatenate([ignored, boxes[cut]]).astype(np.float64) * um_per_px
    inside: NDArray[np.bool_] = (centres[:, None] >= off[None, :, :2]) & (centres[:, None] < off[None, :, 2:])
    overlooked = np.any(np.all(inside, axis=2), axis=1)
    given = _boxes(detections, scale / SUBPIXELS)
    match = _matched(given, detections.score, true_boxes)
    kept = (match >= 0) | ~overlooked
    x_um, y_um = centres[kept].T
    probabilities = classifier.classify(slide, x_um, y_um, batch_size=64).probabilities
    return Found(given[kept], detections.score[kept], probabilities, true_boxes, true_labels, match[kept])


def _boxes(found: Detections, unit_um: float) -> NDArray[np.float64]:
    half_width, half_height = found.width / 2, found.height / 2
    edges = (found.x - half_width, found.y - half_height, found.x + half_width, found.y + half_height)
    return np.stack(edges, axis=1) * unit_um


def _matched(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], true_boxes: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The true cell of each box: best boxes first, each cell once, from an overlap of ``MATCH_IOU``."""
    match = np.full(len(boxes), -1, np.int64)
    if not len(boxes) or not len(true_boxes):
        return match
    overlap = _overlap(boxes, true_boxes)
    for index in np.argsort(-scores, kind="stable"):
        best = int(overlap[index].argmax())
        if overlap[index, best] >= MATCH_IOU:
            match[index] = best
            overlap[:, best] = -1
    return match


def _overlap(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union, (N, M)."""
    return np.asarray(box_iou(boxes, others), np.float64)
