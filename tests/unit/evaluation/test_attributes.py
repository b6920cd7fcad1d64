import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from marrow_models.datasets.records import AttributeSchema
from marrow_models.errors import UserError
from marrow_models.evaluation.attributes import MISSING, attribute_figures
from tests.unit.evaluation.factories import SCHEMA, certain, random_attributes


def figures(truth, probabilities, schema=SCHEMA, **options):
    return attribute_figures(truth, probabilities, schema, **({"resamples": 0} | options))


def test_each_attribute_is_judged_on_the_cells_that_have_it():
    truth, probabilities = random_attributes(1)
    found = figures(truth, probabilities)
    for place, row in enumerate(found.attributes):
        there = truth[:, place] != MISSING
        true, said = truth[there, place], probabilities[place][there].argmax(axis=1)
        assert row.cells == there.sum()
        assert row.accuracy.value == pytest.approx(metrics.accuracy_score(true, said))
        assert row.macro_f1.value == pytest.approx(metrics.f1_score(true, said, average="macro"))
        assert row.macro_precision == pytest.approx(metrics.precision_score(true, said, average="macro"))
        assert row.macro_recall == pytest.approx(metrics.recall_score(true, said, average="macro"))


def test_the_means_are_over_the_attributes_as_wbcatt_states_them():
    found = figures(*random_attributes(2))
    rows = found.attributes
    assert found.mean_accuracy.value == pytest.approx(np.mean([row.accuracy.value for row in rows]))
    assert found.mean_macro_f1.value == pytest.approx(np.mean([row.macro_f1.value for row in rows]))


def test_the_second_of_two_values_is_judged_as_leukemiaattri_does():
    truth, probabilities = random_attributes(3)
    found = figures(truth, probabilities)
    for place in (0, 2):
        there = truth[:, place] != MISSING
        true, said = truth[there, place], probabilities[place][there].argmax(axis=1)
        row = found.attributes[place]
        assert row.second_f1.value == pytest.approx(metrics.f1_score(true, said))
        assert row.values[1].precision == pytest.approx(metrics.precision_score(true, said))
        assert row.values[1].recall == pytest.approx(metrics.recall_score(true, said))
    assert np.isnan(found.attributes[1].second_f1.value)
    both = [found.attributes[place].second_f1.value for place in (0, 2)]
    assert found.mean_second_f1.value == pytest.approx(np.mean(both))


def test_a_small_case_by_hand():
    truth = np.asarray([[0, 1, 1], [1, 1, -1], [1, 0, 0], [-1, 2, 1]])
    probabilities = [
        certain(np.asarray([0, 1, 0, 0]), 2),
        certain(np.asarray([1, 1, 0, 0]), 3),
        certain(np.asarray([1, 1, 0, 1]), 2),
    ]
    found = figures(truth, probabilities)
    size, nucleus, vacuoles = found.attributes
    assert (size.cells, nucleus.cells, vacuoles.cells) == (3, 4, 3)
    assert size.accuracy.value == pytest.approx(2 / 3)
    assert size.macro_f1.value == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert nucleus.accuracy.value == 0.75
    assert nucleus.macro_f1.value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert vacuoles.accuracy.value == vacuoles.second_f1.value == 1
    assert found.mean_accuracy.value == pytest.approx((2 / 3 + 3 / 4 + 1) / 3)
    assert found.cells == 4


def test_cells_that_lack_any_attribute_can_be_left_out_as_leukemiaattri_does():
    truth, probabilities = random_attributes(4, missing=0.3)
    whole = (truth != MISSING).all(axis=1)
    found = figures(truth, probabilities, complete_only=True)
    direct = figures(truth[whole], [scores[whole] for scores in probabilities])
    assert found.cells == whole.sum() < 150
    assert [row.cells for row in found.attributes] == [whole.sum()] * 3
    assert found.mean_accuracy.value == direct.mean_accuracy.value


def test_the_guess_for_a_missing_attribute_does_not_matter():
    truth, probabilities = random_attributes(5)
    changed = [scores.copy() for scores in probabilities]
    for place, scores in enumerate(changed):
        missing = truth[:, place] == MISSING
        scores[missing] = scores[missing][:, ::-1]
    found, again = figures(truth, probabilities), figures(truth, changed)
    assert found.mean_accuracy.value == again.mean_accuracy.value
    assert found.mean_macro_f1.value == again.mean_macro_f1.value


def test_an_attribute_that_no_cell_has_is_undefined_and_in_no_mean():
    truth, probabilities = random_attributes(6)
    truth[:, 1] = MISSING
    found = figures(truth, probabilities, resamples=20)
    row = found.attributes[1]
    assert row.cells == 0
    assert np.isnan([row.accuracy.value, row.macro_f1.value, row.macro_recall, row.values[0].f1]).all()
    others = [found.attributes[place].accuracy.value for place in (0, 2)]
    assert found.mean_accuracy.value == pytest.approx(np.mean(others))
    assert found.mean_accuracy.low <= found.mean_accuracy.value <= found.mean_accuracy.high


def test_a_value_that_is_never_there_nor_given_is_in_no_mean():
    truth = np.asarray([[0], [1], [0]])
    schema = AttributeSchema("one", {"nucleus": ("round", "band", "segmented")}, "made up")
    found = figures(truth, [certain(truth[:, 0], 3)], schema)
    assert found.mean_macro_f1.value == 1
    assert found.attributes[0].values[2].cells == 0
    assert np.isnan(found.attributes[0].values[2].f1)


def test_a_second_value_that_is_never_there_nor_given_has_no_f1():
    schema = AttributeSchema("one", {"vacuoles": ("absent", "prominent")}, "made up")
    found = figures(np.zeros((4, 1), int), [certain(np.zeros(4, int), 2)], schema)
    assert np.isnan(found.mean_second_f1.value)
    assert found.mean_macro_f1.value == 1


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_truth_as_guess_is_perfect(seed):
    truth, _ = random_attributes(seed, cells=60)
    exact = [
        certain(np.maximum(truth[:, place], 0), len(values)) for place, values in enumerate(SCHEMA.values.values())
    ]
    found = figures(truth, exact, resamples=20)
    assert (found.mean_accuracy.low, found.mean_accuracy.value) == (1, 1)
    assert (found.mean_macro_f1.low, found.mean_macro_f1.value, found.mean_second_f1.value) == (1, 1, 1)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_order_of_the_cells_does_not_matter(seed):
    truth, probabilities = random_attributes(seed, cells=60)
    order = np.random.default_rng(seed).permutation(60)
    found = figures(truth, probabilities)
    again = figures(truth[order], [scores[order] for scores in probabilities])
    assert found.mean_accuracy.value == pytest.approx(again.mean_accuracy.value)
    assert found.mean_macro_f1.value == pytest.approx(again.mean_macro_f1.value)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.booleans())
def test_intervals_hold_their_figure(seed, by_patient):
    truth, probabilities = random_attributes(seed, cells=100)
    patients = [f"p{k % 20}" for k in range(100)] if by_patient else None
    found = figures(truth, probabilities, groups=patients, resamples=200, seed=seed)
    rows = found.attributes
    for estimate in (found.mean_accuracy, found.mean_macro_f1, found.mean_second_f1, *(r.accuracy for r in rows)):
        assert estimate.low <= estimate.value <= estimate.high


def test_the_sampling_says_what_was_drawn():
    truth, probabilities = random_attributes(7)
    found = figures(truth, probabilities, groups=[f"p{k % 10}" for k in range(150)], resamples=10, seed=3)
    assert (found.sampling.unit, found.sampling.units, found.sampling.seed) == ("patient", 10, 3)
    assert found.schema == "small"


def test_arrays_for_another_schema_are_refused():
    truth, probabilities = random_attributes(8)
    with pytest.raises(UserError, match=r"shape \(150, 2\) and 3 arrays"):
        figures(truth[:, :2], probabilities)
    with pytest.raises(UserError, match=r"shape \(150, 3\) and 2 arrays"):
        figures(truth, probabilities[:2])
    with pytest.raises(UserError, match="attribute nucleus: probabilities of shape"):
        figures(truth, [probabilities[0], probabilities[0], probabilities[2]])
    truth[3, 2] = 2
    with pytest.raises(UserError, match="attribute vacuoles: the truth goes from -1 to 2"):
        figures(truth, probabilities)


def test_no_attribute_at_all_is_refused():
    _, probabilities = random_attributes(9)
    with pytest.raises(UserError, match="no cell has an attribute of small"):
        figures(np.full((150, 3), MISSING), probabilities)
