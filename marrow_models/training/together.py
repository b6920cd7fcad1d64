"""Detector and classifier judged as one: boxes of every class, as a detector of all classes would be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marrow_models.classification import Classifier
from marrow_models.detection import Detector
from marrow_models.errors import UserError
from marrow_models.evaluation.boxes import BoxFigures, BoxGuess, BoxTruth, box_figures
from marrow_models.evaluation.resampling import RESAMPLES
from marrow_models.records import Rect
from marrow_models.taxonomy import Taxonomy
from marrow_models.training.array_slide import ArraySlide
from marrow_models.training.measure import boxes_in, listening
from marrow_models.training.pictures import KINDS, MarkedPictures

LEAST_SHARE = 0.005
"""A class that is less likely for a box is not guessed."""
LEAST_SCORE = 0.05
"""A box of a nucleated cell below this score is not classified, so it is no guess. A detector that listens to
everything has dozens of them in a picture; each costs as much as a cell and only lengthens the end of a curve."""


def judge_together(
    detector: Detector,
    classifier: Classifier,
    pictures: MarkedPictures,
    taxonomy: Taxonomy,
    kinds: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> BoxFigures:
    """COCO figures over the classes of ``taxonomy``; ``pictures`` are at the finer of the two networks' scales.

    A nucleated box from ``LEAST_SCORE`` is a guess for each class of the classifier, with the product of score and
    probability; a box of another kind is one for the class that stands for its kind.
    """
    names = taxonomy.labels
    place = {name: index for index, name in enumerate(names)}
    alone = {kind: place[label] for kind in kinds if (label := _label_of(kind, taxonomy)) is not None}
    strange = [label for label in classifier.settings.labels if label not in place]
    if strange:
        raise UserError(f"The classifier tells {strange[0]!r}, which {taxonomy.name} does not have: give other data.")
    columns = np.asarray([place[label] for label in classifier.settings.labels])
    truths = [
        BoxTruth(
            boxes.astype(np.float64), np.asarray([place[label or ""] for label in labels]), ignored.astype(np.float64)
        )
        for boxes, labels, ignored in zip(pictures.boxes, pictures.labels, pictures.ignored, strict=True)
    ]
    ear = listening(detector)
    guesses = [
        _guessed(ear, classifier, np.asarray(image), pictures.um_per_px, kinds, alone, columns)
        for image in pictures.images
    ]
    return box_figures(truths, guesses, names, groups=pictures.patients or None, seed=seed, resamples=resamples)


def _guessed(
    detector: Detector,
    classifier: Classifier,
    image: NDArray[np.uint8],
    um_per_px: float,
    kinds: Sequence[str],
    alone: dict[str, int],
    columns: NDArray[np.int64],
) -> BoxGuess:
    slide = ArraySlide(image, um_per_px)
    ratio = um_per_px / detector.settings.um_per_px
    size = Rect(0, 0, round(image.shape[1] * ratio), round(image.shape[0] * ratio))
    found = boxes_in(detector, slide.scaled_region(detector.settings.um_per_px, size))
    corners = found.boxes / ratio
    boxes, classes, scores = [], [], []
    for number, kind in enumerate(kinds):
        mine = found.kinds == number
        if kind in alone:
            boxes.append(corners[mine])
            classes.append(np.full(int(mine.sum()), alone[kind]))
            scores.append(found.scores[mine])
        mine &= found.scores >= LEAST_SCORE
        if kind == KINDS[0] and mine.any():
            x, y = (corners[mine, :2] + corners[mine, 2:]).T * (um_per_px / 2)
            probabilities = classifier.classify(slide, x, y, batch_size=64).probabilities
            row, column = np.nonzero(probabilities >= LEAST_SHARE)
            boxes.append(corners[mine][row])
            classes.append(columns[column])
            scores.append(found.scores[mine][row] * probabilities[row, column])
    return BoxGuess(np.concatenate(boxes), np.concatenate(classes).astype(np.int64), np.concatenate(scores))


def _label_of(kind: str, taxonomy: Taxonomy) -> str | None:
    """The class that stands for a kind that is not nucleated."""
    return next((c.label for c in taxonomy.classes if not c.nucleated and c.excluded_as == kind), None)
