"""Networks that are shown a few examples again and again learn them: the losses pull where they should."""

import csv
import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from marrow_models.classification import CLASS_HEAD, Classifier
from marrow_models.detection import Detector
from marrow_models.errors import UserError
from marrow_models.model_settings import ClassifierSettings, DetectorSettings
from marrow_models.networks.lattice import fold
from marrow_models.training.augment import Variety
from marrow_models.training.classifier import ClassifierTraining, train_classifier
from marrow_models.training.crops import MISSING, CropSet, CropShape
from marrow_models.training.detector import DetectorTraining, train_detector
from marrow_models.training.loop import Effort, Run
from marrow_models.training.measure import judge_detector, told
from marrow_models.training.pictures import MarkedPictures
from tests.unit.cell_models.smears import HERE, THERE
from tests.unit.cell_models.smears import smear as stained

pytestmark = pytest.mark.slow

LITTLE = Variety(turns=True, gain=0.02, log_gamma=0.02, noise=2.0)
SETTINGS = DetectorSettings(um_per_px=0.5, score_threshold=0.3, largest_um=40.0, duplicate_um=6.0)


def losses(folder):
    with (folder / "curve.csv").open(newline="") as file:
        return [float(row[1]) for row in csv.reader(file)]


def smear(seed, size=96, objects=6):
    """Pale ground with dark discs (kind 0) and rings (kind 1) that do not touch, and their boxes."""
    rng = np.random.default_rng(seed)
    image = 215 + 6 * ndimage.gaussian_filter(rng.normal(0, 1, (size, size, 3)), (2, 2, 0))
    rows, columns = np.mgrid[:size, :size]
    boxes, kinds = [], []
    while len(boxes) < objects:
        radius = rng.uniform(7, 12)
        x, y = rng.uniform(radius + 1, size - radius - 1, 2)
        if any(np.hypot(x - (a + c) / 2, y - (b + d) / 2) < radius + (c - a) / 2 + 3 for a, b, c, d in boxes):
            continue
        kind, away = int(rng.integers(2)), np.hypot(columns + 0.5 - x, rows + 0.5 - y)
        image[(away < radius) & ((kind == 0) | (away > radius * 0.6))] = rng.uniform(60, 110, 3)
        boxes.append((x - radius, y - radius, x + radius, y + radius))
        kinds.append(kind)
    return image.clip(0, 255).astype(np.uint8), np.asarray(boxes, np.float32), np.asarray(kinds)


@pytest.mark.parametrize(("iou_weight", "precision"), [(0.0, "float32"), (1.0, "bfloat16")])
def test_a_detector_learns_the_pictures_that_it_is_shown(tmp_path, iou_weight, precision):
    seen = [smear(seed) for seed in range(4)]
    pictures = MarkedPictures(
        [image for image, _, _ in seen],
        tuple(boxes for _, boxes, _ in seen),
        tuple(kinds for _, _, kinds in seen),
        tuple(np.zeros((0, 4), np.float32) for _ in seen),
        0.5,
    )
    effort = Effort(steps=150, batch=4, learning_rate=8e-3, precision=precision, rounded_from=0.7)
    training = DetectorTraining(effort, 96, LITTLE, planes=(8, 16, 32), blocks=(1, 1), iou_weight=iou_weight)
    network = train_detector(pictures, Run(tmp_path, every=15), training, kinds=2)
    curve = losses(tmp_path)
    assert curve[-1] < curve[0] / 4
    figures = judge_detector(Detector(fold(network), SETTINGS), pictures, ("disc", "ring"), resamples=0)
    assert figures.ap50.value > 0.95
    assert figures.ap50_95.value > 0.5


def in_stains(folder, stains, share=1.0):
    """What a detector of painted smears in one stain becomes that is shown them in ``stains``."""
    images = [stained(HERE, seed=seed) for seed in range(3)]
    boxes = tuple(np.asarray([(4, 4, 20, 20)], np.float32) for _ in images)
    none = tuple(np.zeros((0, 4), np.float32) for _ in images)
    pictures = MarkedPictures(images, boxes, tuple(np.zeros(1, np.int64) for _ in images), none, 0.5)
    training = DetectorTraining(Effort(3, 4), 64, LITTLE, planes=(8, 16, 32), blocks=(1, 1), other_stains=share)
    return train_detector(pictures, Run(folder), training, stains=stains, seed=1).state_dict()


def test_pictures_shown_in_other_stains_teach_another_detector_and_the_same_from_the_same_seed(tmp_path):
    first, again = (in_stains(tmp_path / name, (THERE,)) for name in "ab")
    plain = in_stains(tmp_path / "c", (), share=0.0)
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert not all(torch.equal(value, plain[key]) for key, value in first.items())


def test_pictures_whose_own_stain_cannot_be_told_are_not_shown_in_others(tmp_path):
    grey = MarkedPictures(
        [np.full((96, 96, 3), 200, np.uint8)],
        (np.asarray([(4, 4, 20, 20)], np.float32),),
        (np.zeros(1, np.int64),),
        (np.zeros((0, 4), np.float32),),
        0.5,
    )
    training = DetectorTraining(Effort(3, 4), 64, LITTLE, planes=(8, 16, 32), blocks=(1, 1), other_stains=0.5)
    with pytest.raises(UserError, match="glass, red cells and nuclei can be told"):
        train_detector(grey, Run(tmp_path), training, stains=(THERE,))


def test_a_classifier_learns_classes_attributes_and_votes_of_the_crops_that_it_is_shown(tmp_path):
    rng = np.random.default_rng(1)
    images = np.full((24, 40, 40, 3), 220, np.uint8)
    rows, columns = np.mgrid[:40, :40]
    classes, dark = np.arange(24) % 3, np.arange(24) // 3 % 2
    for image, kind, is_dark in zip(images, classes, dark, strict=True):
        away = np.hypot(columns - 19.5, rows - 19.5)
        shapes = (away < 9, (away < 12) & (away > 6), (abs(columns - 19.5) < 12) & (abs(rows - 19.5) < 4))
        image[shapes[kind]] = rng.integers(40, 70, 3) if is_dark else rng.integers(130, 160, 3)
    known = np.where(np.arange(24) < 12, dark, MISSING)
    votes = np.eye(3, dtype=np.float32)[classes]
    votes[0] = (0.5, 0.5, 0)
    crops = CropSet(
        images,
        np.where(np.arange(24) == 23, MISSING, classes),
        ("disc", "ring", "bar"),
        CropShape(0.25, 32, 4),
        votes,
        {"dark": known},
        {"dark": ("no", "yes")},
    )
    effort = Effort(steps=150, batch=24, learning_rate=8e-3, rounded_from=0.7)
    training = ClassifierTraining(effort, LITTLE, planes=(8, 16, 16), blocks=(1, 1), mixing=0.0)
    network = train_classifier(crops, Run(tmp_path, every=15), training)
    curve = losses(tmp_path)
    assert curve[-1] < curve[0] / 3
    settings = ClassifierSettings(0.25, 32, crops.labels, 1.0, attributes={"dark": ("no", "yes")})
    heads = told(Classifier(fold(network), settings), crops)
    sure = heads[CLASS_HEAD][1:23]
    assert (sure.argmax(axis=1) == classes[1:23]).all()
    assert sure.max(axis=1).mean() > 0.85
    # The cells whose attribute nobody stated are told by what was learned from the others.
    assert (heads["dark"].argmax(axis=1) == dark).mean() > 0.9
    by_eye = dataclasses.replace(crops, votes=None)
    assert (told(Classifier(fold(network), settings), by_eye)[CLASS_HEAD] == heads[CLASS_HEAD]).all()
