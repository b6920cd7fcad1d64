"""What a folded detector and classifier are worth on pictures and cells of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from marrow_models.classification import Classifier
from marrow_models.datasets.records import AttributeSchema
from marrow_models.detection import SUBPIXELS, Detector
from marrow_models.evaluation.attributes import AttributeFigures, attribute_figures
from marrow_models.evaluation.boxes import BoxFigures, BoxGuess, BoxTruth, box_figures
from marrow_models.evaluation.classes import ClassFigures, class_figures
from marrow_models.evaluation.resampling import RESAMPLES
from marrow_models.records import Rect
from marrow_models.training.array_slide import ArraySlide
from marrow_models.training.crops import MISSING, CropSet, centre_crops
from marrow_models.training.pictures import MarkedPictures

LOWEST_SCORE = 0.02
"""Boxes below add nothing to a precision-recall curve that anybody would use."""
_BATCH = 64
_TILE_PX = 512
"""Tiles do not change what is found, but a network that is hardly trained finds something at every place: looking for
doubles among all of a large picture would need more memory than there is."""


def judge_detector(
    detector: Detector,
    pictures: MarkedPictures,
    kinds: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> BoxFigures:
    """COCO figures of ``detector`` on whole ``pictures``, boxes clipped to them as the true ones are."""
    ear = listening(detector)
    return box_figures(
        [
            BoxTruth(boxes.astype(np.float64), numbers, ignored.astype(np.float64))
            for boxes, numbers, ignored in zip(pictures.boxes, pictures.kinds, pictures.ignored, strict=True)
        ],
        [boxes_in(ear, np.asarray(image)) for image in pictures.images],
        kinds,
        groups=pictures.patients or None,
        seed=seed,
        resamples=resamples,
    )


def listening(detector: Detector) -> Detector:
    """The same detector with nearly every box it can think of: a curve needs those too."""
    return Detector(detector.network, replace(detector.settings, score_threshold=LOWEST_SCORE), detector.device)


def boxes_in(detector: Detector, image: NDArray[np.uint8]) -> BoxGuess:
    """What ``detector`` finds in a picture (H, W, 3) at its own scale; corners in pixels, clipped to the picture."""
    height, width, _ = image.shape
    found = detector.detect(ArraySlide(image, detector.settings.um_per_px), Rect(0, 0, width, height), tile_px=_TILE_PX)
    x, y, half_width, half_height = (part / SUBPIXELS for part in (found.x, found.y, found.width / 2, found.height / 2))
    corners = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)
    return BoxGuess(corners.clip(0, [width, height, width, height]), found.kind, found.score)


def told(classifier: Classifier, crops: CropSet) -> dict[str, NDArray[np.float64]]:
    """Head to probabilities (N, outputs) of all ``crops``."""
    parts = [
        classifier.tell(centre_crops(crops, slice(start, start + _BATCH))) for start in range(0, len(crops), _BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in parts[0]}


def judge_classes(
    probabilities: NDArray[np.float64], crops: CropSet, *, seed: int = 0, resamples: int = RESAMPLES
) -> ClassFigures:
    """Figures of the class head on the crops that have a class."""
    has = crops.classes != MISSING
    patients = [patient for patient, known in zip(crops.patients, has, strict=False) if known]
    return class_figures(
        crops.classes[has], probabilities[has], crops.labels, groups=patients or None, seed=seed, resamples=resamples
    )


def judge_attributes(
    probabilities: dict[str, NDArray[np.float64]],
    crops: CropSet,
    schema: AttributeSchema,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> AttributeFigures:
    """Figures of the attribute heads on the crops of which the attribute is known."""
    names = [name for name in schema.values if name in crops.attributes]
    truth = np.stack([crops.attributes[name] for name in names], axis=1)
    rows = (truth != MISSING).any(axis=1)
    patients = [patient for patient, known in zip(crops.patients, rows, strict=False) if known]
    return attribute_figures(
        truth[rows],
        [probabilities[name][rows] for name in names],
        replace(schema, values={name: schema.values[name] for name in names}),
        groups=patients or None,
        seed=seed,
        resamples=resamples,
    )


def fitted_temperature(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The temperature that makes confidences fit frequencies best (Guo et al. 2017, arXiv:1706.04599), to 0.01.

    ``probabilities`` (N, K) at temperature 1; cells without a class (-1) are left out.
    """
    known = truth != MISSING
    if not known.any():
        return 1.0
    logs = np.log(probabilities[known].clip(1e-6, None))
    picked = truth[known]

    def loss(temperature: float) -> float:
        scaled = logs / temperature
        return float(np.mean(logsumexp(scaled, axis=1) - scaled[np.arange(len(picked)), picked]))

    return round(float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x), 2)
