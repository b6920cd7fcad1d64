import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from marrow_models.evaluation.confusions import GroupedCells, accuracy, filled, kappa, mean_over, rates, ratio
from tests.unit.evaluation.factories import random_classes


@pytest.fixture(params=[2, 5, 40])
def cells(request):
    true, probabilities = random_classes(request.param, 300, request.param, skill=1.0)
    return true, probabilities.argmax(axis=1), request.param


def confusion_of(true, said, size):
    return metrics.confusion_matrix(true, said, labels=range(size)).astype(float)


def test_the_figures_of_each_class_are_those_of_scikit_learn(cells):
    true, said, size = cells
    each = rates(confusion_of(true, said, size))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        true, said, labels=range(size), zero_division=np.nan
    )
    assert each.precision == pytest.approx(precision, nan_ok=True)
    assert each.recall == pytest.approx(recall, nan_ok=True)
    assert each.f1 == pytest.approx(f1, nan_ok=True)
    assert each.cells.tolist() == support.tolist()
    assert each.given.tolist() == np.bincount(said, minlength=size).tolist()


def test_the_specificity_is_the_recall_of_the_rest(cells):
    true, said, size = cells
    expected = [metrics.recall_score(true != k, said != k) for k in range(size)]
    assert rates(confusion_of(true, said, size)).specificity == pytest.approx(expected)


def test_accuracy_and_kappa_are_those_of_scikit_learn(cells):
    true, said, size = cells
    confusion = confusion_of(true, said, size)
    assert accuracy(confusion) == pytest.approx(metrics.accuracy_score(true, said))
    assert kappa(confusion) == pytest.approx(metrics.cohen_kappa_score(true, said))


def test_the_kappa_of_a_textbook_is_met():
    # Two raters, 50 cases: observed agreement 0.7, by chance 0.5, so (0.7 - 0.5) / (1 - 0.5).
    assert kappa(np.asarray([[20.0, 5.0], [10.0, 15.0]])) == pytest.approx(0.4)


def test_a_stack_of_matrices_gives_the_figures_of_each(cells):
    true, said, size = cells
    first, second = confusion_of(true, said, size), confusion_of(true, np.roll(said, 1), size)
    stack = np.stack([first, second])
    assert accuracy(stack) == pytest.approx([float(accuracy(first)), float(accuracy(second))])
    assert kappa(stack) == pytest.approx([float(kappa(first)), float(kappa(second))])
    assert rates(stack).f1[1] == pytest.approx(rates(second).f1, nan_ok=True)


def test_nothing_divided_by_nothing_is_not_a_number():
    assert ratio(np.asarray([1.0, 0.0]), np.asarray([2.0, 0.0])).tolist()[0] == 0.5
    assert np.isnan(ratio(np.asarray([0.0]), np.asarray([0.0]))).all()
    assert np.isnan(kappa(np.asarray([[5.0, 0.0], [0.0, 0.0]])))


def test_a_mean_is_over_the_classes_that_count():
    values = np.asarray([[0.5, np.nan, 1.0], [0.2, 0.4, np.nan]])
    assert mean_over(values, np.isfinite(values)) == pytest.approx([0.75, 0.3])
    assert np.isnan(mean_over(values[:1, 1:2], np.zeros((1, 1), bool))).all()


def test_a_class_that_a_draw_lacks_keeps_its_figure():
    draws = np.asarray([[0.5, np.nan], [0.6, 0.8]])
    assert filled(draws, np.asarray([0.1, 0.9])).tolist() == [[0.5, 0.9], [0.6, 0.8]]
    assert np.isnan(filled(draws, np.asarray([0.1, np.nan]))[0, 1])


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 8))
def test_drawing_groups_is_the_same_as_repeating_their_cells(seed, classes, group_count):
    rng = np.random.default_rng(seed)
    true, said = rng.integers(0, classes, (2, 40))
    groups = rng.integers(0, group_count, 40)
    draws = rng.integers(0, 4, (3, group_count)).astype(float)
    confusions = GroupedCells(true, said, classes, groups, group_count).confusions(draws)
    assert confusions.shape == (3, classes, classes)
    for drawn, confusion in zip(draws, confusions, strict=True):
        rows = np.repeat(np.arange(40), drawn[groups].astype(int))
        expected = np.zeros((classes, classes))
        np.add.at(expected, (true[rows], said[rows]), 1)
        assert confusion.tolist() == expected.tolist()
