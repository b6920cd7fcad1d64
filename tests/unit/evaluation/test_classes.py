import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from marrow_models.errors import UserError
from marrow_models.evaluation.classes import CALIBRATION_BINS, class_figures
from tests.unit.evaluation.factories import LABELS, certain, random_classes

NAMES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "auc", "kappa")


def figures(true, probabilities, labels=LABELS, **options):
    return class_figures(true, probabilities, labels, **({"resamples": 0} | options))


def overall(found):
    return [getattr(found, name).value for name in NAMES]


@pytest.fixture(params=[2, 11, 33])
def judged(request):
    true, probabilities = random_classes(request.param, 600, request.param)
    return true, probabilities, figures(true, probabilities, [f"class {k}" for k in range(request.param)])


def test_overall_figures_are_those_of_scikit_learn(judged):
    true, probabilities, found = judged
    said = probabilities.argmax(axis=1)
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(true, said))
    assert found.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(true, said))
    assert found.macro_f1.value == pytest.approx(metrics.f1_score(true, said, average="macro"))
    assert found.weighted_f1.value == pytest.approx(metrics.f1_score(true, said, average="weighted"))
    assert found.kappa.value == pytest.approx(metrics.cohen_kappa_score(true, said))


def test_the_area_is_the_macro_average_of_one_against_the_rest(judged):
    true, probabilities, found = judged
    if probabilities.shape[1] == 2:
        expected = metrics.roc_auc_score(true, probabilities[:, 1])
    else:
        expected = metrics.roc_auc_score(true, probabilities, multi_class="ovr", average="macro")
    assert found.auc.value == pytest.approx(expected)


def test_figures_of_a_class_are_those_of_scikit_learn(judged):
    true, probabilities, found = judged
    said = probabilities.argmax(axis=1)
    table = metrics.precision_recall_fscore_support(true, said, zero_division=0)
    for k, row in enumerate(found.classes):
        assert (row.precision, row.recall, row.f1.value, row.cells) == pytest.approx([column[k] for column in table])
        assert row.auc.value == pytest.approx(metrics.roc_auc_score(true == k, probabilities[:, k]))
        assert row.specificity == pytest.approx(metrics.recall_score(true != k, said != k))


def test_the_confusion_has_true_rows_and_given_columns(judged):
    true, probabilities, found = judged
    assert found.confusion.tolist() == metrics.confusion_matrix(true, probabilities.argmax(axis=1)).tolist()
    assert found.confusion.sum() == found.cells == 600


def test_a_small_case_by_hand():
    true, said = np.asarray([0, 0, 0, 1, 1, 2]), np.asarray([0, 0, 1, 1, 1, 0])
    found = figures(true, certain(said, 3))
    assert found.confusion.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert found.accuracy.value == pytest.approx(4 / 6)
    assert found.balanced_accuracy.value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert [row.f1.value for row in found.classes] == pytest.approx([2 / 3, 4 / 5, 0])
    assert found.macro_f1.value == pytest.approx((2 / 3 + 4 / 5) / 3)
    assert found.weighted_f1.value == pytest.approx((3 * 2 / 3 + 2 * 4 / 5) / 6)
    # By chance 3 * 3 + 2 * 3 + 1 * 0 of 36.
    assert found.kappa.value == pytest.approx((24 / 36 - 15 / 36) / (1 - 15 / 36))
    assert [row.specificity for row in found.classes] == pytest.approx([2 / 3, 3 / 4, 1])
    assert np.isnan(found.classes[2].precision)


def test_the_right_class_always_is_perfect():
    true = np.asarray([0, 1, 2, 1])
    found = figures(true, certain(true, 3, 0.8), resamples=50)
    assert overall(found) == pytest.approx([1] * 6)
    assert (found.accuracy.low, found.accuracy.high) == (1, 1)
    assert found.calibration_error == pytest.approx(0.2)


def test_the_first_of_equal_classes_is_given():
    assert figures([1, 0], [[0.5, 0.5], [0.5, 0.5]], ("a", "b")).confusion.tolist() == [[1, 0], [1, 0]]


def test_a_class_that_is_not_in_the_truth_is_in_no_average():
    true, probabilities = random_classes(3, 100, 2)
    with_third = np.column_stack([0.99 * probabilities, np.full(100, 0.01)])
    two, three = figures(true, probabilities, LABELS[:2]), figures(true, with_third)
    assert overall(three) == pytest.approx(overall(two))
    absent = three.classes[2]
    assert (absent.cells, absent.specificity) == (0, 1)
    assert np.isnan([absent.recall, absent.f1.value, absent.auc.value]).all()
    assert three.roc[2] is None


def test_cells_given_a_class_that_is_not_in_the_truth_are_wrong():
    found = figures([0, 0, 1, 1], certain(np.asarray([0, 2, 1, 1]), 3))
    assert found.accuracy.value == 0.75
    assert found.balanced_accuracy.value == 0.75
    assert found.macro_f1.value == pytest.approx((2 / 3 + 1) / 2)
    assert found.classes[2].precision == 0


def test_one_class_only_leaves_area_and_kappa_undefined():
    found = figures([1, 1, 1], certain(np.asarray([1, 1, 1]), 3), resamples=20)
    assert np.isnan([found.auc.value, found.auc.low, found.kappa.value]).all()
    assert (found.accuracy.value, found.macro_f1.value) == (1, 1)


def test_the_calibration_error_is_the_gap_between_confidence_and_truth():
    # Five cells at 0.9 of which three are right, five at 0.6 of which all are: (0.3 + 0.4) / 2.
    said = np.zeros(10, int)
    true = np.asarray([0, 0, 0, 1, 1] + [0] * 5)
    probabilities = np.concatenate([certain(said[:5], 2, 0.9), certain(said[5:], 2, 0.61)])
    found = figures(true, probabilities, ("a", "b"))
    assert found.calibration_error == pytest.approx((0.3 + 0.39) / 2)


@settings(max_examples=12)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_the_reliability_bins_add_up_to_the_calibration_error(seed, classes):
    true, probabilities = random_classes(seed, 300, classes, skill=2.0)
    found = figures(true, probabilities, [str(k) for k in range(classes)])
    bins = found.reliability
    there = bins.cells > 0
    gaps = np.abs(bins.confidence - bins.accuracy)[there]
    assert bins.cells.sum() == 300
    assert len(bins.cells) == CALIBRATION_BINS
    assert np.isnan(bins.accuracy[~there]).all()
    assert (gaps * bins.cells[there]).sum() / 300 == pytest.approx(found.calibration_error, abs=1e-6)


def test_full_confidence_is_in_the_last_bin():
    found = figures([0, 1], [[1.0, 0.0], [0.0, 1.0]], ("a", "b"))
    assert found.reliability.cells.tolist() == [0] * (CALIBRATION_BINS - 1) + [2]
    assert found.calibration_error == 0


def test_a_curve_goes_from_nothing_to_everything_and_encloses_its_area(judged):
    _, _, found = judged
    for row, curve in zip(found.classes, found.roc, strict=True):
        assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
        assert len(curve.x) <= 200
        assert metrics.auc(curve.x, curve.y) == pytest.approx(row.auc.value, abs=5e-3)


@settings(max_examples=12)
@given(st.integers(0, 10_000))
def test_the_order_of_the_cells_does_not_matter(seed):
    true, probabilities = random_classes(seed, 80)
    order = np.random.default_rng(seed).permutation(80)
    patients = [f"p{k % 11}" for k in range(80)]
    found = figures(true, probabilities, groups=patients, resamples=30)
    again = figures(true[order], probabilities[order], groups=[patients[k] for k in order], resamples=30)
    for name in NAMES:
        one, other = getattr(found, name), getattr(again, name)
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))
    assert found.calibration_error == pytest.approx(again.calibration_error)


@settings(max_examples=12)
@given(st.integers(0, 10_000))
def test_the_order_of_the_classes_does_not_matter(seed):
    true, probabilities = random_classes(seed, 80, 4)
    order = np.random.default_rng(seed).permutation(4)
    place = np.argsort(order)
    labels = ("a", "b", "c", "d")
    found = figures(true, probabilities, labels)
    again = figures(place[true], probabilities[:, order], [labels[k] for k in order])
    assert overall(again) == pytest.approx(overall(found))
    by_label = {row.label: row for row in again.classes}
    assert [by_label[row.label].f1.value for row in found.classes] == pytest.approx(
        [row.f1.value for row in found.classes], nan_ok=True
    )


@settings(max_examples=12)
@given(st.integers(0, 10_000), st.integers(2, 5), st.booleans())
def test_intervals_hold_their_figure(seed, classes, by_patient):
    true, probabilities = random_classes(seed, 120, classes)
    patients = [f"p{k % 15}" for k in range(120)] if by_patient else None
    found = figures(true, probabilities, [str(k) for k in range(classes)], groups=patients, resamples=200, seed=seed)
    for name in NAMES:
        estimate = getattr(found, name)
        assert estimate.low <= estimate.value <= estimate.high
    for row in found.classes:
        assert row.f1.low <= row.f1.value <= row.f1.high


def test_the_interval_of_the_accuracy_is_that_of_the_binomial():
    true = np.zeros(400, int)
    true[0] = 1
    said = np.where(np.arange(400) < 80, 1, 0)
    found = figures(true, certain(said, 2), ("a", "b"), resamples=2000).accuracy
    error = 1.96 * np.sqrt(found.value * (1 - found.value) / 400)
    assert found.low == pytest.approx(found.value - error, abs=5e-3)
    assert found.high == pytest.approx(found.value + error, abs=5e-3)


def test_cells_of_a_patient_are_drawn_together():
    true, probabilities = random_classes(5, 30)
    copies = np.repeat(np.arange(30), 10)
    patients = [f"patient {k}" for k in copies]
    by_patient = figures(true[copies], probabilities[copies], groups=patients, resamples=300)
    by_cell = figures(true[copies], probabilities[copies], resamples=300)
    assert (by_patient.sampling.unit, by_patient.sampling.units) == ("patient", 30)
    assert (by_cell.sampling.unit, by_cell.sampling.units) == ("cell", 300)
    for name in NAMES:
        wide, narrow = getattr(by_patient, name), getattr(by_cell, name)
        assert wide.value == narrow.value
        assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_a_rare_class_that_is_not_drawn_does_not_move_the_mean():
    # One cell of a class, never recognised: without it macro F1 would be 1, with it one half.
    true = np.asarray([0] * 40 + [1])
    found = figures(true, certain(np.zeros(41, int), 2), ("a", "b"), resamples=200)
    assert found.macro_f1.value == pytest.approx(0.4938, abs=1e-4)
    assert found.macro_f1.high <= 0.5
    assert found.balanced_accuracy.low == found.balanced_accuracy.high == 0.5


def test_an_interval_of_resamples_is_that_of_scikit_learn_on_the_same_cells():
    true, probabilities = random_classes(8, 60, 3)
    found = figures(true, probabilities, resamples=400, seed=3)
    rng, values = np.random.default_rng(99), []
    for _ in range(400):
        rows = rng.integers(0, 60, 60)
        values.append(metrics.f1_score(true[rows], probabilities[rows].argmax(axis=1), average="macro"))
    low, high = np.quantile(values, [0.025, 0.975])
    assert (found.macro_f1.low, found.macro_f1.high) == pytest.approx((low, high), abs=0.04)


def test_the_same_seed_gives_the_same_intervals():
    true, probabilities = random_classes(9)
    first, again = (figures(true, probabilities, resamples=50, seed=4) for _ in range(2))
    other = figures(true, probabilities, resamples=50, seed=5)
    assert first.macro_f1 == again.macro_f1
    assert first.macro_f1 != other.macro_f1


def test_half_precision_and_lists_are_taken_as_they_come():
    true, probabilities = random_classes(10, 50)
    half = figures(true.astype(np.uint8), probabilities.astype(np.float16))
    lists = figures(true.tolist(), probabilities.tolist())
    assert lists.auc.value == pytest.approx(half.auc.value, abs=5e-3)


@pytest.mark.parametrize(
    ("true", "probabilities", "options", "message"),
    [
        ([0, 1], [[0.5, 0.5, 0.0]], {}, r"shape \(1, 3\), expected \(2, 3\)"),
        ([0, 3], certain(np.asarray([0, 1]), 3), {}, "goes from 0 to 3"),
        ([], np.zeros((0, 3)), {}, "nothing to judge"),
        ([0, 1], certain(np.asarray([0, 1]), 3), {"groups": ["a"]}, "1 patients for 2 rows"),
    ],
)
def test_what_does_not_fit_is_refused(true, probabilities, options, message):
    with pytest.raises(UserError, match=message):
        figures(true, probabilities, **options)
