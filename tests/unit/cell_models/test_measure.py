"""Networks judged on pictures and crops; the figures themselves are tested where they are computed."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from marrow_models.classification import CLASS_HEAD, Classifier
from marrow_models.datasets.records import AttributeSchema
from marrow_models.detection import BOX_UNIT_PX, Detector
from marrow_models.model_settings import ClassifierSettings, DetectorSettings
from marrow_models.networks.heatmap import OUTPUT_STRIDE_PX
from marrow_models.networks.lattice import STEPS_PER_UNIT, fold
from marrow_models.training.crops import MISSING, CropSet, CropShape
from marrow_models.training.detector import target_of
from marrow_models.training.measure import (
    LOWEST_SCORE,
    boxes_in,
    fitted_temperature,
    judge_attributes,
    judge_classes,
    judge_detector,
    listening,
    told,
)
from marrow_models.training.pictures import MarkedPictures
from tests.unit.cell_models.factories import CLASSIFIER, DETECTOR, crop_net, heatmap_net, picture

NONE = np.zeros((0, 4), np.float32)
SETTINGS = DetectorSettings(um_per_px=0.5, score_threshold=0.5, largest_um=60.0, duplicate_um=8.0)
KINDS = ("nucleated", "erythrocyte")
STRENGTHS = (40, 100)
"""Grey by which an object of either kind is drawn on black."""


class KnowsGreys(nn.Module):
    """A detector without a fault for rectangles whose sizes are painted into them: reads kind, centre and size.

    Each object is drawn as the maps that the training would want, in three channels, so that what is tested is the way
    from maps to figures and not a network.
    """

    reach_px, first_layer_bytes = 8, 3

    def __init__(self, kinds=2):
        super().__init__()
        self.kinds = kinds

    def forward(self, image):
        cells = image[:, :, ::OUTPUT_STRIDE_PX, ::OUTPUT_STRIDE_PX]
        centre = torch.full((1, self.kinds, *cells.shape[2:]), -9.0 * STEPS_PER_UNIT)
        for kind in range(self.kinds):
            strong = 6.0 - 0.01 * cells[:, 1]  # the narrower, the surer
            here = cells[:, 0] == STRENGTHS[kind]
            centre[:, kind] = torch.where(here, strong * STEPS_PER_UNIT, centre[:, kind])
        size = cells[:, 1:3] / BOX_UNIT_PX
        half = torch.full_like(size, 0.5)
        return centre, torch.cat([half, size], dim=1) * STEPS_PER_UNIT


def painted(objects, size=(96, 128)):
    """Objects (kind, left, top, right, bottom) whose centres lie in the middle of an output cell."""
    image = np.zeros((*size, 3), np.uint8)
    for kind, left, top, right, bottom in objects:
        x, y = (left + right) // 2 // OUTPUT_STRIDE_PX * OUTPUT_STRIDE_PX, (top + bottom) // 2 // 4 * 4
        image[y : y + 4, x : x + 4] = (STRENGTHS[kind], right - left, bottom - top)
    return image


def marked(*pictures, said=None):
    """Pictures of the first of each pair's objects, marked with the second's."""
    return MarkedPictures(
        [painted(drawn) for drawn, _ in pictures],
        tuple(np.asarray([o[1:] for o in true], np.float32).reshape(-1, 4) for _, true in pictures),
        tuple(np.asarray([o[0] for o in true], np.int64) for _, true in pictures),
        tuple(NONE if said is None else said for _ in pictures),
        0.5,
        (None,) * len(pictures),
    )


OBJECTS = [(0, 12, 12, 32, 32), (1, 52, 40, 72, 68), (0, 86, 12, 110, 48)]


@pytest.fixture
def knowing():
    return Detector(KnowsGreys(), SETTINGS)


def test_what_a_faultless_detector_finds_are_the_boxes(knowing):
    found = boxes_in(knowing, painted(OBJECTS))
    order = np.argsort(found.boxes[:, 0])
    assert found.boxes[order].tolist() == [list(map(float, o[1:])) for o in OBJECTS]
    assert found.kinds[order].tolist() == [0, 1, 0]
    assert (found.scores > 0.9).all()


def test_a_faultless_detector_has_faultless_figures(knowing):
    figures = judge_detector(knowing, marked((OBJECTS, OBJECTS), (OBJECTS[:1], OBJECTS[:1])), KINDS, resamples=0)
    assert (figures.ap50.value, figures.ap50_95.value) == pytest.approx((1, 1))
    assert (figures.pictures, figures.boxes) == (2, 4)
    assert [row.boxes for row in figures.kinds] == [3, 1]
    assert [(row.best.precision, row.best.recall) for row in figures.kinds] == [(1, 1), (1, 1)]


def test_a_missed_object_a_false_one_and_a_wrong_kind_cost_what_they_should(knowing):
    def ap50(drawn, true):
        figures = judge_detector(knowing, marked((drawn, true)), KINDS, resamples=0)
        return [row.ap50.value for row in figures.kinds]

    missed = ap50(OBJECTS[1:], OBJECTS)
    assert missed == [pytest.approx(51 / 101), pytest.approx(1)]
    as_other = ap50([*OBJECTS[:2], (1, *OBJECTS[2][1:])], OBJECTS)
    assert as_other[0] == pytest.approx(51 / 101)
    assert as_other[1] == pytest.approx(1)  # the false one is the less sure
    loose = ap50([*OBJECTS[:2], (0, 86, 0, 110, 60)], OBJECTS)
    assert loose[0] == pytest.approx(1)
    far = ap50([*OBJECTS[:2], (0, 86, -30, 110, 90)], OBJECTS)
    assert far[0] == pytest.approx(51 / 101)


def test_what_lies_in_an_ignored_part_is_not_held_against_a_detector(knowing):
    everywhere = np.asarray([[0, 0, 128, 96]], np.float32)
    only_last = (OBJECTS, OBJECTS[2:])
    strict = judge_detector(knowing, marked(only_last), KINDS, resamples=0)
    forgiving = judge_detector(knowing, marked(only_last, said=everywhere), KINDS, resamples=0)
    assert strict.kinds[0].ap50.value == pytest.approx(0.5)
    assert forgiving.kinds[0].ap50.value == pytest.approx(1)


def test_boxes_are_clipped_to_the_picture_as_the_true_ones_are(knowing):
    found = boxes_in(knowing, painted([(0, -10, 4, 14, 24)]))
    assert found.boxes.tolist() == [[0, 4, 14, 24]]


def test_the_sides_of_a_picture_need_be_no_multiple_of_anything(knowing):
    for size in ((96, 128), (97, 127), (61, 110), (300, 700)):
        assert len(boxes_in(knowing, painted(OBJECTS, size)).boxes) == 3


def test_a_large_picture_gives_the_boxes_that_its_parts_give():
    detector = Detector(fold(heatmap_net()), DETECTOR)
    image = picture(3, 300, 620)
    found = boxes_in(detector, image)
    assert len(found.boxes) > 20
    assert found.boxes.min() >= 0
    assert found.boxes[:, 2].max() <= 620
    assert found.boxes[:, 3].max() <= 300
    inside = found.boxes[:, 2] < 200
    left = boxes_in(detector, image[:, :400])
    same = {tuple(box) for box in left.boxes.tolist() if box[2] < 200}
    assert {tuple(box) for box in found.boxes[inside].tolist()} == same


def test_a_curve_is_drawn_from_boxes_below_the_threshold_too():
    detector = Detector(fold(heatmap_net()), dataclasses.replace(DETECTOR, score_threshold=0.9))
    image = picture(1)
    quiet, loud = boxes_in(detector, image), boxes_in(listening(detector), image)
    assert listening(detector).settings.score_threshold == LOWEST_SCORE
    assert len(loud.boxes) > len(quiet.boxes)
    assert loud.scores.min() < 0.9


def test_the_truth_told_to_the_network_is_what_it_is_judged_by():
    """A detector that repeats its training target has the true boxes: units and offsets are the same in both."""
    boxes = np.asarray([[9, 13, 41, 47], [60, 30, 84, 62]], np.float32)
    target = target_of(boxes, NONE, 96)

    class Repeats(KnowsGreys):
        def forward(self, image):
            height, width = (side // OUTPUT_STRIDE_PX for side in image.shape[2:])
            centre = torch.full((1, 1, height, width), -9.0)
            box = torch.zeros(1, 4, height, width)
            at = self.at // OUTPUT_STRIDE_PX
            centre[0, :, at : at + 24, at : at + 24] = torch.from_numpy(np.where(target.positive, 6.0, -9.0))
            box[0, :, at : at + 24, at : at + 24] = torch.from_numpy(target.box)
            return centre * STEPS_PER_UNIT, box * STEPS_PER_UNIT

    network = Repeats(1)
    detector = Detector(network, SETTINGS)
    network.at = detector.halo_px // 8 * 8 + (8 if detector.halo_px % 8 else 0)
    found = boxes_in(detector, np.zeros((96, 96, 3), np.uint8))
    assert found.boxes[np.argsort(found.boxes[:, 0])] == pytest.approx(boxes, abs=0.1)


def crop_set(n=24, side=32, margin=4, labels=("a", "b", "c"), **more):
    rng = np.random.default_rng(0)
    images = np.stack([picture(i, side + 2 * margin, side + 2 * margin) for i in range(n)])
    return CropSet(images, rng.integers(0, 3, n), labels, CropShape(0.25, side, margin), **more)


def test_a_classifier_is_asked_about_the_middle_of_each_crop_whatever_the_batches(monkeypatch):
    classifier = Classifier(fold(crop_net()), CLASSIFIER)
    crops = crop_set(9)
    said = told(classifier, crops)[CLASS_HEAD]
    assert said.shape == (9, 3)
    inner = np.ascontiguousarray(crops.images[:, 4:36, 4:36])
    assert np.array_equal(said, classifier.tell(inner)[CLASS_HEAD].astype(np.float64))
    monkeypatch.setattr("marrow_models.training.measure._BATCH", 4)
    assert np.array_equal(told(classifier, crops)[CLASS_HEAD], said)


def test_crops_without_a_class_take_no_part_in_the_figures():
    crops = crop_set(6, patients=("p", "p", "q", "q", "r", "r"))
    classes = np.asarray([0, 1, 2, MISSING, 1, 0])
    crops = dataclasses.replace(crops, classes=classes)
    right = np.eye(3)[np.where(classes == MISSING, 2, classes)]
    right[3] = [1, 0, 0]
    figures = judge_classes(right, crops, resamples=20)
    assert (figures.accuracy.value, figures.macro_f1.value, figures.cells) == (1, 1, 5)
    assert (figures.sampling.unit, figures.sampling.units) == ("patient", 3)
    assert judge_classes(right, dataclasses.replace(crops, patients=()), resamples=20).sampling.unit == "cell"


def test_attributes_are_judged_where_they_are_known():
    schema = AttributeSchema("s", {"nucleus": ("round", "lobed"), "granules": ("no", "few", "many")}, "here")
    known = {
        "nucleus": np.asarray([0, 1, MISSING, 1]),
        "granules": np.asarray([2, MISSING, MISSING, 0]),
    }
    crops = dataclasses.replace(crop_set(4), attributes=known, attribute_values=schema.values)
    said = {
        "nucleus": np.eye(2)[[0, 1, 0, 0]],
        "granules": np.eye(3)[[2, 1, 0, 0]],
        CLASS_HEAD: np.full((4, 3), 1 / 3),
    }
    figures = judge_attributes(said, crops, schema, resamples=0)
    rows = {row.attribute: row for row in figures.attributes}
    assert rows["nucleus"].accuracy.value == pytest.approx(2 / 3)
    assert rows["granules"].accuracy.value == 1


def overconfident(true_temperature, cells=4000, classes=5):
    """Probabilities of scores that are ``true_temperature`` times too large, and the true classes."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (cells, classes))
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    truth = np.asarray([rng.choice(classes, p=row) for row in chances])
    said = np.exp(true_temperature * scores)
    return said / said.sum(axis=1, keepdims=True), truth


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.7, 3.0])
def test_the_temperature_that_spoilt_confidences_is_found(temperature):
    assert fitted_temperature(*overconfident(temperature)) == pytest.approx(temperature, rel=0.08)


def test_cells_without_a_class_have_no_say_in_the_temperature():
    said, truth = overconfident(1.7)
    noisy = np.concatenate([said, said[:, ::-1]])
    assert fitted_temperature(noisy, np.concatenate([truth, np.full(len(truth), MISSING)])) == fitted_temperature(
        said, truth
    )


def test_without_any_class_the_temperature_stays_one():
    assert fitted_temperature(np.full((3, 2), 0.5), np.full(3, MISSING)) == 1.0


def test_a_classifier_that_is_right_and_sure_still_gets_a_temperature_that_can_be():
    said = np.eye(4)[[0, 1, 2, 3] * 20]
    assert 0.2 <= fitted_temperature(said, np.asarray([0, 1, 2, 3] * 20)) <= 5.0


def test_the_temperature_makes_a_classifier_as_sure_as_it_is_right():
    said, truth = overconfident(1.7)
    temperature = fitted_temperature(said, truth)
    cooled = said ** (1 / temperature)
    cooled /= cooled.sum(axis=1, keepdims=True)
    gaps = [abs(p.max(axis=1).mean() - (p.argmax(axis=1) == truth).mean()) for p in (said, cooled)]
    assert gaps[1] < 0.02 < gaps[0]


def test_the_settings_of_a_classifier_say_what_its_scores_mean():
    cold = ClassifierSettings(0.25, 32, ("a", "b", "c"), temperature=1.0)
    hot = dataclasses.replace(cold, temperature=3.0)
    crops = crop_set(8)
    sure, unsure = (told(Classifier(fold(crop_net()), s), crops)[CLASS_HEAD] for s in (cold, hot))
    assert (sure.argmax(axis=1) == unsure.argmax(axis=1)).all()
    assert sure.max(axis=1).mean() > unsure.max(axis=1).mean()
