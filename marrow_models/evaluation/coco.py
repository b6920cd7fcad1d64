"""Boxes judged by pycocotools, and its matches kept so that pictures can be drawn again without matching again.

Figures are those of COCOeval. Only what it cannot do is done here: average precision over pictures drawn with
replacement, which the tests hold to COCOeval's own on a set with the same pictures repeated.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

if TYPE_CHECKING:
    from marrow_models.evaluation.boxes import BoxGuess, BoxTruth

Floats = NDArray[np.float64]

OVERLAPS: tuple[float, ...] = tuple(float(value) for value in np.linspace(0.5, 0.95, 10))
RECALLS: Floats = np.linspace(0.0, 1.0, 101)
"""Where COCO reads the precision."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Boxes of one kind in all pictures, best first, and which of them are right."""

    scores: Floats
    """(D,)"""
    pictures: NDArray[np.int64]
    """(D,)"""
    right: NDArray[np.bool_]
    """(10, D) at each of ``OVERLAPS``; a box that is ignored is not right."""
    counted: NDArray[np.bool_]
    """(10, D) false where the box is ignored."""
    marked: Floats
    """(P,) true boxes of each picture."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What COCOeval says of K kinds; NaN where a kind is not in the truth."""

    precision: Floats
    """(10, 101, K) at ``OVERLAPS`` and ``RECALLS``."""
    recall: Floats
    """(10, K)"""
    matches: tuple[Matches, ...]


def judge(truths: Sequence[BoxTruth], guesses: Sequence[BoxGuess], kinds: int, max_per_picture: int) -> Judged:
    """Match and judge the boxes of all pictures. At most ``max_per_picture`` boxes of each kind count in a picture."""
    with contextlib.redirect_stdout(io.StringIO()):  # COCO prints what it does
        evaluation = COCOeval(_marked(truths, kinds), _given(guesses, len(truths), kinds), "bbox")
        evaluation.params.maxDets = [max_per_picture]
        evaluation.params.areaRng = [[0.0, float("inf")]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.params.iouThrs = np.asarray(OVERLAPS)
        evaluation.params.recThrs = RECALLS
        evaluation.evaluate()
        evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[..., 0, 0]
    recall = np.asarray(evaluation.eval["recall"])[..., 0, 0]
    of_kind = [evaluation.evalImgs[kind * len(truths) : (kind + 1) * len(truths)] for kind in range(kinds)]
    return Judged(
        np.where(precision < 0, np.nan, precision),
        np.where(recall < 0, np.nan, recall),
        tuple(_matches(pictures) for pictures in of_kind),
    )


def average_precision(matches: Matches, draws: Floats) -> Floats:
    """Return COCO's average precision (10, B) where picture p is in the set ``draws[b, p]`` times; NaN: none marked.

    Only a right box raises the recall, so the precision is needed at the right boxes only.
    """
    marked = draws @ matches.marked
    return np.stack(
        [
            _at_one_overlap(matches, np.flatnonzero(right), counted, draws, marked)
            for right, counted in zip(matches.right, matches.counted, strict=True)
        ]
    )


def _at_one_overlap(
    matches: Matches, right: NDArray[np.int64], counted: NDArray[np.bool_], draws: Floats, marked: Floats
) -> Floats:
    """(B,) at one overlap; ``right`` are the places of the right boxes."""
    values = np.where(marked > 0, 0.0, np.nan)
    if not len(right):
        return values
    last = right[-1] + 1
    for b, drawn in enumerate(draws):
        if not marked[b]:
            continue
        boxes = np.cumsum(drawn[matches.pictures[:last]] * counted[:last])[right]
        hits = np.cumsum(drawn[matches.pictures[right]])
        # COCO's own term against a division by zero: before the first box that was drawn the precision is 0.
        precision = np.maximum.accumulate((hits / (boxes + np.spacing(1)))[::-1])[::-1]
        place = np.searchsorted(hits / marked[b], RECALLS, side="left")
        values[b] = precision[place[place < len(right)]].sum() / len(RECALLS)
    return values


def _matches(pictures: Sequence[dict[str, NDArray[np.float64]] | None]) -> Matches:
    found = [(place, picture) for place, picture in enumerate(pictures) if picture is not None]
    marked = np.zeros(len(pictures))
    for place, picture in found:
        marked[place] = np.count_nonzero(np.asarray(picture["gtIgnore"]) == 0)
    empty = np.zeros((len(OVERLAPS), 0))
    scores = np.concatenate([np.zeros(0), *(np.asarray(picture["dtScores"], np.float64) for _, picture in found)])
    right = np.concatenate([empty, *(picture["dtMatches"] for _, picture in found)], axis=1) > 0
    ignored = np.concatenate([empty, *(picture["dtIgnore"] for _, picture in found)], axis=1) > 0
    of_picture = np.repeat([place for place, _ in found], [len(picture["dtScores"]) for _, picture in found])
    order = np.argsort(-scores, kind="stable")
    return Matches(
        scores[order],
        of_picture.astype(np.int64)[order],
        (right & ~ignored)[:, order],
        ~ignored[:, order],
        marked,
    )


def _marked(truths: Sequence[BoxTruth], kinds: int) -> COCO:
    annotations = [
        (picture, int(kind), box, 0)
        for picture, truth in enumerate(truths)
        for box, kind in zip(truth.boxes, truth.kinds, strict=True)
    ] + [
        (picture, kind, box, 1)  # a crowd, in COCO's words, of each kind
        for picture, truth in enumerate(truths)
        for box in truth.ignored
        for kind in range(kinds)
    ]
    return _coco(len(truths), kinds, annotations, None)


def _given(guesses: Sequence[BoxGuess], pictures: int, kinds: int) -> COCO:
    annotations = [
        (picture, int(kind), box, 0)
        for picture, guess in enumerate(guesses)
        for box, kind in zip(guess.boxes, guess.kinds, strict=True)
    ]
    return _coco(pictures, kinds, annotations, [float(score) for guess in guesses for score in guess.scores])


def _coco(
    pictures: int, kinds: int, boxes: Sequence[tuple[int, int, Floats, int]], scores: Sequence[float] | None
) -> COCO:
    """A set in memory. Numbers start from 1: COCOeval takes the number 0 for no match."""
    coco = COCO()
    annotations: list[dict[str, object]] = []
    for number, (picture, kind, (left, top, right, bottom), crowd) in enumerate(boxes, start=1):
        width, height = float(right - left), float(bottom - top)
        annotations.append(
            {
                "id": number,
                "image_id": picture + 1,
                "category_id": kind + 1,
                "bbox": [float(left), float(top), width, height],
                "area": width * height,
                "iscrowd": crowd,
            }
            | ({} if scores is None else {"score": scores[number - 1]})
        )
    coco.dataset = {
        "images": [{"id": picture + 1} for picture in range(pictures)],
        "categories": [{"id": kind + 1, "name": str(kind)} for kind in range(kinds)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco
