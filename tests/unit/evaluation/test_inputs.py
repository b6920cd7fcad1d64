import numpy as np
import pytest

from marrow_models.errors import UserError
from marrow_models.evaluation.inputs import checked_names, checked_probabilities, checked_truth
from tests.unit.evaluation.factories import LABELS


def test_probabilities_of_low_precision_are_made_to_add_up():
    half = np.asarray([[0.3333, 0.3333, 0.333], [0.1, 0.2, 0.7]], np.float16)
    checked = checked_probabilities(half, 2, LABELS, "classes")
    assert checked.dtype == np.float64
    assert checked.sum(axis=1).tolist() == pytest.approx([1, 1], abs=1e-15)
    assert checked == pytest.approx(half.astype(float), abs=2e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.2, 0.3, 0.5]], r"shape \(1, 3\), expected \(2, 3\)"),
        ([[0.5, 0.5], [0.5, 0.5]], r"shape \(2, 2\), expected \(2, 3\)"),
        ([[0.2, 0.3, 0.5], [np.nan, 0.5, 0.5]], "not numbers from 0 to 1"),
        ([[0.2, 0.3, 0.5], [-0.2, 0.6, 0.6]], "not numbers from 0 to 1"),
        ([[0.2, 0.3, 0.5], [3.0, -1.0, -1.0]], "after the softmax"),
        ([[0.2, 0.3, 0.5], [0.2, 0.3, 0.4]], "row 1 of the probabilities adds up to 0.9, not 1"),
    ],
)
def test_what_is_no_probability_is_refused(values, message):
    with pytest.raises(UserError, match=f"classes: .*{message}"):
        checked_probabilities(values, 2, LABELS, "classes")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"shape \(0,\), expected \(N,\) with N > 0"),
        ([[0, 1]], r"shape \(1, 2\)"),
        ([0.0, 1.0], "type float64, expected whole numbers"),
        ([0, 3], "goes from 0 to 3, expected 0 to 2"),
        ([-1, 2], "goes from -1 to 2, expected 0 to 2"),
    ],
)
def test_what_is_no_class_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        checked_truth(values, LABELS, "classes")


def test_a_missing_value_is_no_error_where_it_is_allowed():
    assert checked_truth([-1, 2], LABELS, "size", lowest=-1).tolist() == [-1, 2]


@pytest.mark.parametrize("names", [(), ("a",), ("a", "a"), ("a", "")])
def test_names_that_do_not_tell_classes_apart_are_refused(names):
    with pytest.raises(UserError, match="at least 2 different names"):
        checked_names(names, "classes", fewest=2)
