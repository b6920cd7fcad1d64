import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from marrow_models.diagnosis.intervals import Interval, ratio_interval, rounded_percentages, wilson_interval
from marrow_models.errors import UserError

counts_of_total = st.integers(1, 20_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@pytest.mark.parametrize(
    ("percent", "total", "low", "high"),
    [
        (20, 200, 15.0, 26.1),
        (20, 300, 15.9, 24.9),
        (20, 500, 16.7, 23.7),
        (20, 1000, 17.6, 22.6),
        (25, 200, 19.5, 31.4),
        (25, 300, 20.4, 30.2),
        (25, 500, 21.4, 29.0),
        (25, 1000, 22.4, 27.8),
        (5, 200, 2.7, 9.0),
        (5, 300, 3.1, 8.1),
        (5, 500, 3.4, 7.3),
        (5, 1000, 3.8, 6.5),
        (0, 200, 0.0, 1.9),
        (0, 300, 0.0, 1.3),
        (0, 500, 0.0, 0.8),
        (0, 1000, 0.0, 0.4),
    ],
)
def test_the_published_intervals_are_reproduced(percent, total, low, high):
    interval = wilson_interval(percent * total // 100, total)
    assert (round(interval.low, 1), round(interval.high, 1)) == (low, high)


@given(counts_of_total, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_interval_is_that_of_scipy(case, confidence):
    count, total = case
    theirs = binomtest(count, total).proportion_ci(confidence, method="wilson")
    ours = wilson_interval(count, total, confidence=confidence)
    assert ours.low == pytest.approx(100 * theirs.low, abs=1e-9)
    assert ours.high == pytest.approx(100 * theirs.high, abs=1e-9)


@given(counts_of_total)
def test_the_interval_holds_the_estimate_and_stays_within_0_and_100(case):
    count, total = case
    interval = wilson_interval(count, total)
    assert 0 <= interval.low <= 100 * count / total + 1e-9
    assert 100 * count / total - 1e-9 <= interval.high <= 100


@given(counts_of_total)
def test_the_interval_of_the_other_cells_is_the_mirror_image(case):
    count, total = case
    one, other = wilson_interval(count, total), wilson_interval(total - count, total)
    assert one.low == pytest.approx(100 - other.high, abs=1e-9)


@given(counts_of_total)
def test_counting_twice_as_many_cells_narrows_the_interval(case):
    count, total = case
    few, many = wilson_interval(count, total), wilson_interval(2 * count, 2 * total)
    assert many.high - many.low < few.high - few.low


def test_with_nothing_counted_nothing_is_known():
    assert wilson_interval(0, 0) == Interval(0.0, 100.0)


def test_the_ends_are_exact():
    assert wilson_interval(0, 37).low == 0.0
    assert wilson_interval(37, 37).high == 100.0


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5), (1, 0), (0, -1)])
def test_an_impossible_count_is_refused(count, total):
    with pytest.raises(UserError, match="impossible"):
        wilson_interval(count, total)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, -0.5, math.nan])
def test_a_confidence_is_between_0_and_1(confidence):
    with pytest.raises(UserError, match="confidence"):
        wilson_interval(1, 2, confidence=confidence)


@pytest.mark.parametrize(
    ("threshold", "spans"), [(15.0, False), (15.1, True), (20.0, True), (26.0, True), (26.1, False)]
)
def test_an_interval_spans_a_threshold_when_both_sides_of_it_are_inside(threshold, spans):
    assert Interval(15.0, 26.0).spans(threshold) is spans


def test_the_interval_of_a_ratio_is_that_of_the_share():
    interval, share = ratio_interval(300, 100), wilson_interval(300, 400)
    assert interval.low == pytest.approx(share.low / (100 - share.low))
    assert interval.low < 3 < interval.high


def test_a_ratio_over_nothing_has_no_upper_end():
    assert ratio_interval(10, 0).high == math.inf
    assert ratio_interval(0, 10).low == 0.0


# --- rounding ----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any))
def test_percentages_always_add_up_to_100(counts):
    percents = rounded_percentages(counts)
    assert sum(round(10 * p) for p in percents) == 1000
    assert round(sum(percents), 6) == 100.0


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any))
def test_no_percentage_is_off_by_a_tenth_or_more(counts):
    total = sum(counts)
    for count, percent in zip(counts, rounded_percentages(counts), strict=True):
        assert abs(percent - 100 * count / total) < 0.1
        assert percent == round(percent, 1)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=13).filter(any))
def test_more_cells_never_get_the_smaller_percentage(counts):
    pairs = sorted(zip(counts, rounded_percentages(counts), strict=True))
    assert all(a[1] <= b[1] for a, b in pairwise(pairs) if a[0] < b[0])


def test_the_largest_remainder_is_raised_first():
    assert rounded_percentages([1, 1, 1]) == (33.4, 33.3, 33.3)
    assert rounded_percentages([2, 1]) == (66.7, 33.3)
    assert rounded_percentages([0, 0]) == (0.0, 0.0)
    assert rounded_percentages([]) == ()


def test_a_negative_count_has_no_percentage():
    with pytest.raises(UserError, match="negative"):
        rounded_percentages([3, -1])
