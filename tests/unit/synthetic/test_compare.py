import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.phantom.compare import Matches, average_precision, iou, largest_deviation, match_boxes

TRUTH = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
READABLE = np.array([True, True, False])


def matches(boxes, scores, truth=TRUTH, readable=READABLE):
    return match_boxes(np.asarray(boxes, float).reshape(-1, 4), np.asarray(scores, np.float32), truth, readable)


def test_what_is_found_where_it_is_is_right():
    found = matches(TRUTH[:2], [0.9, 0.8])

    assert (found.recall, found.precision) == (1.0, 1.0)
    assert average_precision([found]) == 1.0


def test_a_cell_found_twice_is_found_once_and_wrong_once():
    found = matches([TRUTH[0], TRUTH[0] + 1], [0.9, 0.8])

    assert found.true.tolist() == [True, False]
    assert (found.recall, found.precision) == (0.5, 0.5)


def test_of_two_boxes_on_a_cell_the_one_of_the_higher_score_counts():
    found = matches([TRUTH[0] + 1, TRUTH[0]], [0.8, 0.9])

    assert found.score.tolist() == pytest.approx([0.9, 0.8])
    assert found.true.tolist() == [True, False]


def test_an_unreadable_cell_counts_neither_for_nor_against():
    found = matches([TRUTH[2]], [0.9])

    assert len(found.true) == 0
    assert (found.cells, found.recall) == (2, 0.0)


def test_a_box_on_nothing_counts_against():
    assert matches([[100, 100, 110, 110]], [0.9]).precision == 0.0


def test_nothing_found_and_nothing_there_is_no_failure():
    empty = matches(np.zeros((0, 4)), [], truth=np.zeros((0, 4)), readable=np.zeros(0, bool))

    assert (empty.recall, empty.precision) == (1.0, 1.0)
    assert np.isnan(average_precision([empty]))


def test_average_precision_is_the_one_of_coco_on_a_worked_example():
    # Precision 1 up to recall 1/2, then 2/3 up to recall 1: 51 of 101 recall levels are at most one half.
    found = Matches(np.array([0.9, 0.8, 0.7], np.float32), np.array([True, False, True]), 2)

    assert average_precision([found]) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_average_precision_ranks_over_all_slides_together():
    sure = Matches(np.array([0.9], np.float32), np.array([True]), 1)
    wrong = Matches(np.array([0.95], np.float32), np.array([False]), 0)

    assert average_precision([sure]) == 1.0
    assert average_precision([sure, wrong]) == pytest.approx(0.5)


boxes = st.lists(
    st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(1, 20), st.floats(1, 20)).map(
        lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
    ),
    min_size=1,
    max_size=8,
).map(np.asarray)


@given(boxes, boxes)
def test_overlap_is_symmetric_and_at_most_one(first, second):
    overlap = iou(first, second)

    assert overlap.shape == (len(first), len(second))
    assert ((overlap >= 0) & (overlap <= 1 + 1e-9)).all()
    np.testing.assert_allclose(overlap, iou(second, first).T)
    np.testing.assert_allclose(np.diag(iou(first, first)), 1)


@given(boxes, st.integers(0, 2**32 - 1))
def test_the_order_of_the_found_boxes_does_not_matter(found, seed):
    rng = np.random.default_rng(seed)
    scores = rng.permutation(len(found)).astype(np.float32)
    order = rng.permutation(len(found))
    one, other = matches(found, scores), matches(found[order], scores[order])

    assert one.true.tolist() == other.true.tolist()
    assert one.score.tolist() == other.score.tolist()


def test_the_farthest_category_is_named_with_its_sign():
    assert largest_deviation({"blast": 20.0, "lymphocyte": 9.0}, {"blast": 25.0, "lymphocyte": 6.0}) == ("blast", -5.0)


def test_a_category_that_was_not_found_counts_with_zero():
    assert largest_deviation({}, {"blast": 2.0}) == ("blast", -2.0)
