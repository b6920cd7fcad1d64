import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.apps.detection.metrics.coco import COCOMetric
from monai.apps.detection.metrics.matching import matching_batch
from monai.data.box_utils import box_iou

from marrow_models.evaluation.coco import OVERLAPS, RECALLS, average_precision, judge
from tests.unit.evaluation.factories import NOTHING, guess, random_boxes, squares, truth


def monai_figures(truths, guesses, kinds, most):
    """The same by another implementation: MONAI's, which comes from nnDetection."""
    metric = COCOMetric(
        [str(kind) for kind in range(kinds)],
        iou_list=[0.5, 0.75],
        iou_range=(0.5, 0.95, 0.05),
        max_detection=[most],
        verbose=False,
    )
    matched = matching_batch(
        iou_fn=lambda boxes, others: np.asarray(box_iou(boxes, others), float),
        iou_thresholds=metric.get_iou_thresholds(),
        pred_boxes=[one.boxes for one in guesses],
        pred_classes=[one.kinds for one in guesses],
        pred_scores=[one.scores for one in guesses],
        gt_boxes=[one.boxes for one in truths],
        gt_classes=[one.kinds for one in truths],
        gt_ignore=[np.zeros(len(one.boxes), bool) for one in truths],
        max_detections=most,
    )
    return metric(matched)[0]


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_monai(seed):
    truths, guesses = random_boxes(seed, pictures=15)
    judged = judge(truths, guesses, 3, 50)
    expected = monai_figures(truths, guesses, 3, 50)
    each = judged.precision.mean(axis=1)
    assert each[0].mean() == pytest.approx(expected["AP_IoU_0.50_MaxDet_50"])
    assert each[5].mean() == pytest.approx(expected["AP_IoU_0.75_MaxDet_50"])
    assert each.mean() == pytest.approx(expected["mAP_IoU_0.50_0.95_0.05_MaxDet_50"])


def test_the_overlaps_and_recalls_are_those_of_coco():
    assert pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]) == OVERLAPS
    assert (len(RECALLS), RECALLS[0], RECALLS[-1]) == (101, 0, 1)


def test_nothing_is_printed(capsys):
    judge(*random_boxes(0), 3, 10)
    assert capsys.readouterr() == ("", "")


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.booleans())
def test_pictures_drawn_once_have_the_figures_of_coco(seed, ignored):
    truths, guesses = random_boxes(seed, ignored=ignored)
    judged = judge(truths, guesses, 3, 100)
    for kind, matches in enumerate(judged.matches):
        drawn = average_precision(matches, np.ones((1, len(truths))))[:, 0]
        assert drawn == pytest.approx(judged.precision[:, :, kind].mean(axis=1), nan_ok=True)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.booleans())
def test_pictures_drawn_again_have_the_figures_of_coco_on_the_repeated_pictures(seed, ignored):
    truths, guesses = random_boxes(seed, pictures=8, ignored=ignored)
    draws = np.random.default_rng(seed).integers(0, 4, (3, 8)).astype(float)
    judged = judge(truths, guesses, 3, 100)
    for row, drawn in enumerate(draws.astype(int)):
        if not drawn.any():
            continue
        rows = np.repeat(np.arange(8), drawn)
        repeated = judge([truths[i] for i in rows], [guesses[i] for i in rows], 3, 100)
        for kind, matches in enumerate(judged.matches):
            again = average_precision(matches, draws)[:, row]
            assert again == pytest.approx(repeated.precision[:, :, kind].mean(axis=1), nan_ok=True)


def test_matches_say_which_boxes_are_right_best_first():
    truths = [truth(squares((0, 0), (50, 50))), truth(squares((0, 0)))]
    guesses = [guess(squares((80, 80), (0, 0)), [0.7, 0.9]), guess(squares((1, 0)), [0.8])]
    (matches,) = judge(truths, guesses, 1, 10).matches
    assert matches.scores.tolist() == [0.9, 0.8, 0.7]
    assert matches.pictures.tolist() == [0, 1, 0]
    assert matches.right[0].tolist() == [True, True, False]
    # Shifted by a tenth the second one overlaps 9/11 = 0.818: right up to 0.80.
    assert matches.right[:, 1].tolist() == [overlap < 0.82 for overlap in OVERLAPS]
    assert matches.marked.tolist() == [2, 1]
    assert matches.counted.all()


def test_the_first_box_and_the_first_truth_match_too():
    # Numbers of COCO start from 1 because its 0 means no match.
    judged = judge([truth(squares((0, 0)))], [guess(squares((0, 0)), [0.5])], 1, 10)
    assert judged.precision[:, :, 0] == pytest.approx(1)
    assert (judged.recall == 1).all()


def test_pictures_without_truth_and_guess_count_as_pictures():
    judged = judge([truth(squares()), truth(squares((0, 0)))], [NOTHING, guess(squares((0, 0)), [0.5])], 1, 10)
    assert judged.matches[0].pictures.tolist() == [1]
    assert judged.matches[0].marked.tolist() == [0, 1]


def test_a_kind_that_is_not_in_the_truth_is_not_a_number():
    judged = judge([truth(squares((0, 0)))], [guess(squares((0, 0), (30, 30)), [0.5, 0.4], [0, 1])], 2, 10)
    assert np.isnan(judged.precision[:, :, 1]).all()
    assert np.isnan(judged.recall[:, 1]).all()
    assert np.isnan(average_precision(judged.matches[1], np.ones((2, 1)))).all()


def test_draws_without_the_marked_pictures_are_not_a_number():
    judged = judge([truth(squares((0, 0))), truth(squares())], [guess(squares((0, 0)), [0.5]), NOTHING], 1, 10)
    areas = average_precision(judged.matches[0], np.asarray([[0.0, 2.0], [1.0, 1.0]]))
    assert np.isnan(areas[:, 0]).all()
    assert areas[:, 1] == pytest.approx(1)


def test_what_was_not_found_has_a_precision_of_zero():
    judged = judge([truth(squares((0, 0)))], [NOTHING], 1, 10)
    assert (judged.precision == 0).all()
    assert (average_precision(judged.matches[0], np.ones((1, 1))) == 0).all()
