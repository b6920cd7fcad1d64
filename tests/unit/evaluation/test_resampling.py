import numpy as np
import pytest
from scipy.stats import norm

from marrow_models.errors import UserError
from marrow_models.evaluation.resampling import Estimate, grouped, with_intervals


def mean_of(values, groups):
    """A statistic: the mean of rows that are drawn group by group."""

    def statistic(draws):
        weights = draws[:, groups.index]
        return {"mean": (weights * values).sum(axis=1) / weights.sum(axis=1)}

    return statistic


def interval(values, patients=None, *, seed=0, resamples=1000):
    groups = grouped(patients, len(values), "cell")
    figures = {"mean": float(np.mean(values))}
    return with_intervals(
        figures, mean_of(np.asarray(values, float), groups), groups, width=len(values), seed=seed, resamples=resamples
    )["mean"]


def test_rows_without_patients_are_drawn_one_by_one():
    groups = grouped(None, 3, "cell")
    assert groups.index.tolist() == [0, 1, 2]
    assert (groups.count, groups.unit) == (3, "cell")


def test_rows_of_a_patient_are_drawn_together():
    groups = grouped(["b", "a", "b"], 3, "cell")
    assert groups.index.tolist() == [1, 0, 1]
    assert (groups.count, groups.unit) == (2, "patient")


def test_a_row_without_a_patient_is_drawn_alone_and_the_unit_says_so():
    groups = grouped(["a", None, "a", None], 4, "cell")
    assert groups.index.tolist() == [0, 1, 0, 2]
    assert groups.count == 3
    assert groups.unit == "patient, or cell where the patient is unknown"


def test_no_patient_known_at_all_is_the_same_as_none_given():
    unknown, none = grouped([None, None], 2, "picture"), grouped(None, 2, "picture")
    assert unknown.index.tolist() == none.index.tolist()
    assert (unknown.count, unknown.unit) == (none.count, none.unit)


def test_patients_for_another_number_of_rows_are_refused():
    with pytest.raises(UserError, match="2 patients for 3 rows"):
        grouped(["a", "b"], 3, "cell")


def test_the_interval_of_a_mean_is_that_of_the_textbook():
    values = np.random.default_rng(3).normal(5, 2, 400)
    found = interval(values, resamples=4000)
    error = norm.ppf(0.975) * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - error, abs=0.02)
    assert found.high == pytest.approx(values.mean() + error, abs=0.02)


def test_the_interval_of_patients_that_are_alike_inside_is_that_of_their_means():
    means = np.random.default_rng(4).normal(0, 1, 60)
    one_each = interval(means, resamples=2000)
    twenty_each = interval(np.repeat(means, 20), np.repeat([str(i) for i in range(60)], 20).tolist(), resamples=2000)
    as_cells = interval(np.repeat(means, 20), resamples=2000)
    assert twenty_each.high - twenty_each.low == pytest.approx(one_each.high - one_each.low, rel=0.1)
    # Twenty copies of a patient are no twenty patients: drawn as cells the interval is sqrt(20) times too narrow.
    assert (one_each.high - one_each.low) / (as_cells.high - as_cells.low) == pytest.approx(np.sqrt(20), rel=0.15)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(5).random(50)
    assert interval(values, seed=1) == interval(values, seed=1)
    assert interval(values, seed=1) != interval(values, seed=2)


def test_the_order_of_the_rows_does_not_change_the_interval_of_patients():
    rng = np.random.default_rng(6)
    values, patients = rng.random(40), [f"p{i % 9}" for i in range(40)]
    order = rng.permutation(40)
    shuffled = interval(values[order], [patients[i] for i in order])
    direct = interval(values, patients)
    assert shuffled.low == pytest.approx(direct.low)
    assert shuffled.high == pytest.approx(direct.high)


def test_one_patient_gives_no_interval():
    found = interval([0.2, 0.4], ["a", "a"])
    assert found.value == pytest.approx(0.3)
    assert np.isnan([found.low, found.high]).all()


def test_no_resamples_give_no_interval():
    assert np.isnan(interval([0.2, 0.4], resamples=0).low)


def test_resamples_that_do_not_define_a_figure_are_left_out():
    groups = grouped(None, 4, "cell")

    def statistic(draws):
        # Defined only where the first cell was drawn, as the recall of a class with one cell is.
        return {"a": np.where(draws[:, 0] > 0, 1.0, np.nan), "b": np.full(len(draws), np.nan)}

    found = with_intervals({"a": 1.0, "b": np.nan}, statistic, groups, width=4, seed=0)
    assert found["a"] == Estimate(1.0, 1.0, 1.0)
    assert np.isnan([found["b"].value, found["b"].low]).all()


def test_every_draw_has_as_many_groups_as_there_are():
    groups, seen = grouped(None, 7, "cell"), []

    def statistic(draws):
        seen.append(draws)
        return {"sum": draws.sum(axis=1)}

    found = with_intervals({"sum": 7.0}, statistic, groups, width=7, seed=0, resamples=300)
    assert found["sum"] == Estimate(7.0, 7.0, 7.0)
    draws = np.concatenate(seen)
    assert draws.shape == (300, 7)
    assert draws.mean(axis=0) == pytest.approx(1, abs=0.25)


def test_what_is_wide_is_drawn_in_small_batches():
    groups, sizes = grouped(None, 10, "cell"), []

    def statistic(draws):
        sizes.append(len(draws))
        return {"one": np.ones(len(draws))}

    with_intervals({"one": 1.0}, statistic, groups, width=100_000, seed=0, resamples=20)
    assert max(sizes) == 5
    assert sum(sizes) == 20
