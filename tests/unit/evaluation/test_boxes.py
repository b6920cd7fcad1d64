import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marrow_models.errors import UserError
from marrow_models.evaluation.boxes import BoxGuess, BoxTruth, best_balance, box_figures
from marrow_models.evaluation.coco import judge
from tests.unit.evaluation.factories import NONE, NOTHING, guess, random_boxes, squares, truth

KINDS = ("white cell", "red cell", "platelet")
THREE = squares((0, 0), (30, 30), (60, 60))


def figures(truths, guesses, kinds=("cell",), **options):
    return box_figures(truths, guesses, kinds, **({"resamples": 0} | options))


def values(found):
    """All figures of a set as one row."""
    each = [(row.ap50.value, row.ap50_95.value, row.ap75.value, row.recall, row.best.f1) for row in found.kinds]
    overall = (found.ap50.value, found.ap50_95.value, found.ap75.value, found.recall)
    return np.asarray([*overall, *(value for row in each for value in row)])


def test_all_found_exactly_is_perfect():
    found = figures([truth(THREE)], [guess(THREE, [0.9, 0.8, 0.7])])
    assert values(found) == pytest.approx(1)
    assert (found.pictures, found.boxes) == (1, 3)
    assert found.kinds[0].best.score == 0.7


def test_a_false_box_before_the_last_right_one_costs_its_precision():
    # Right, false, right: precision 1 up to a recall of 1/2 (51 of the 101 recalls), then 2/3.
    given = guess(squares((0, 0), (80, 80), (30, 30)), [0.9, 0.8, 0.7])
    found = figures([truth(squares((0, 0), (30, 30)))], [given])
    assert found.ap50.value == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert found.kinds[0].curve.y[[0, 50, 51, 100]] == pytest.approx([1, 1, 2 / 3, 2 / 3])


def test_a_false_box_after_all_right_ones_costs_nothing():
    found = figures([truth(squares((0, 0)))], [guess(squares((0, 0), (50, 50)), [0.9, 0.1])])
    assert found.ap50.value == pytest.approx(1)
    assert found.kinds[0].best.precision == 1


def test_a_box_that_overlaps_little_counts_at_low_overlaps_only():
    # Shifted by 2.2 of 10: overlap 7.8 / 12.2 = 0.639, right at 0.50, 0.55 and 0.60.
    found = figures([truth(squares((0, 0)))], [guess(squares((2.2, 0)), [0.9])])
    assert found.ap50.value == pytest.approx(1)
    assert found.ap75.value == 0
    assert found.ap50_95.value == pytest.approx(0.3)
    assert found.recall == pytest.approx(0.3)


def test_the_second_box_on_an_object_is_false():
    given = guess(squares((0, 0), (0.5, 0), (30, 30)), [0.9, 0.8, 0.7])
    found = figures([truth(squares((0, 0), (30, 30)))], [given])
    assert found.ap50.value == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_box_of_the_wrong_kind_is_false_in_its_kind_and_missing_in_the_other():
    truths = [truth(squares((0, 0), (30, 30)), [0, 1])]
    found = figures(truths, [guess(squares((0, 0), (30, 30)), [0.9, 0.8], [0, 0])], ("a", "b"))
    assert [row.ap50.value for row in found.kinds] == pytest.approx([1, 0])
    assert found.ap50.value == pytest.approx(0.5)


def test_the_mean_is_over_the_kinds_that_are_there():
    found = figures([truth(squares((0, 0)), [1])], [guess(squares((0, 0)), [0.9], [1])], KINDS)
    assert found.ap50.value == pytest.approx(1)
    assert found.recall == 1
    assert [row.boxes for row in found.kinds] == [0, 1, 0]
    absent = found.kinds[0]
    assert np.isnan([absent.ap50.value, absent.recall, absent.best.f1, absent.best.score]).all()


def test_what_lies_in_an_ignored_part_is_not_held_against_the_detector():
    off = np.asarray([[50.0, 50.0, 100.0, 100.0]])
    given = [guess(squares((60, 60), (80, 80), (0, 0)), [0.95, 0.9, 0.8], [0, 1, 0])]
    marked = squares((0, 0))
    strict = figures([truth(marked)], given, ("a", "b"))
    lenient = figures([truth(marked, ignored=off)], given, ("a", "b"))
    assert strict.ap50.value == pytest.approx(0.5)
    assert lenient.ap50.value == pytest.approx(1)
    assert lenient.kinds[0].best.precision == 1
    assert lenient.boxes == 1


def test_a_box_half_outside_of_an_ignored_part_is_still_ignored_but_not_less():
    # COCO's rule for a crowd: at least half of the box lies in it.
    marked, off = squares((0, 0)), np.asarray([[50.0, 50.0, 100.0, 100.0]])
    for left, precision in ((46.0, 1.0), (44.0, 0.5)):
        given = guess(np.concatenate([marked, squares((left, 60))]), [0.9, 0.9])
        found = figures([truth(marked, ignored=off)], [given])
        assert found.kinds[0].best.precision == precision


def test_only_the_best_boxes_of_a_picture_count():
    given = guess(squares((80, 80), (0, 0)), [0.9, 0.8])
    assert figures([truth(squares((0, 0)))], [given], max_per_picture=2).ap50.value == pytest.approx(0.5)
    limited = figures([truth(squares((0, 0)))], [given], max_per_picture=1)
    assert (limited.ap50.value, limited.max_per_picture) == (0, 1)


def test_the_limit_is_of_a_kind_in_a_picture():
    given = guess(squares((0, 0), (30, 30)), [0.9, 0.8], [0, 1])
    truths = [truth(squares((0, 0), (30, 30)), [0, 1])]
    assert figures(truths, [given], ("a", "b"), max_per_picture=1).ap50.value == pytest.approx(1)


def test_more_than_a_hundred_red_cells_are_found_in_a_field():
    field = squares(*[(12.0 * column, 12.0 * row) for row in range(15) for column in range(10)])
    scores = np.linspace(0.9, 0.5, len(field))
    assert figures([truth(field)], [guess(field, scores)]).ap50.value == pytest.approx(1)
    assert figures([truth(field)], [guess(field, scores)], max_per_picture=100).recall == pytest.approx(100 / 150)


def test_the_best_balance_is_where_f1_is_largest():
    # Hits and boxes by score: 1/1, 2/2, 2/3, 3/4, 3/5 of four: F1 0.4, 0.667, 0.571, 0.75, 0.667.
    marked = squares((0, 0), (30, 30), (60, 60), (90, 90))
    given = guess(
        squares((0, 0), (30, 30), (0, 80), (60, 60), (80, 0)),
        [0.9, 0.8, 0.7, 0.6, 0.5],
    )
    best = figures([truth(marked)], [given]).kinds[0].best
    assert best.f1 == pytest.approx(0.75)
    assert (best.precision, best.recall, best.score) == (0.75, 0.75, 0.6)


def test_boxes_of_one_score_are_taken_together():
    given = guess(squares((0, 0), (50, 50)), [0.5, 0.5])
    best = figures([truth(squares((0, 0)))], [given]).kinds[0].best
    assert (best.precision, best.recall, best.score) == (0.5, 1, 0.5)


def test_where_nothing_is_right_the_balance_is_zero_without_a_score():
    best = figures([truth(squares((0, 0)))], [guess(squares((50, 50)), [0.9])]).kinds[0].best
    assert (best.precision, best.recall, best.f1) == (0, 0, 0)
    assert np.isnan(best.score)


def test_nothing_found_is_zero_everywhere():
    found = figures([truth(THREE)], [NOTHING])
    assert values(found) == pytest.approx(0)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_figures_are_shares(seed):
    truths, guesses = random_boxes(seed)
    if any(len(one.boxes) for one in truths):
        found = values(figures(truths, guesses, KINDS))
        defined = found[np.isfinite(found)]
        assert ((defined >= 0) & (defined <= 1)).all()


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_order_of_pictures_and_boxes_does_not_matter(seed):
    truths, guesses = random_boxes(seed, pictures=9)
    if not any(len(one.boxes) for one in truths):
        return
    rng = np.random.default_rng(seed)
    order = rng.permutation(9)

    def shuffled(one, cls, *more):
        rows = rng.permutation(len(one.boxes))
        return (
            cls(one.boxes[rows], one.kinds[rows], *more)
            if more
            else cls(one.boxes[rows], one.kinds[rows], one.scores[rows])
        )

    again = figures(
        [shuffled(truths[i], BoxTruth, truths[i].ignored) for i in order],
        [shuffled(guesses[i], BoxGuess) for i in order],
        KINDS,
    )
    assert values(again) == pytest.approx(values(figures(truths, guesses, KINDS)), nan_ok=True)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_only_the_order_of_the_scores_matters(seed):
    truths, guesses = random_boxes(seed)
    if any(len(one.boxes) for one in truths):
        cubed = [guess(one.boxes, one.scores**3, one.kinds) for one in guesses]
        assert values(figures(truths, cubed, KINDS)) == pytest.approx(
            values(figures(truths, guesses, KINDS)), nan_ok=True
        )


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_truth_as_guess_is_perfect(seed):
    truths, _ = random_boxes(seed)
    if any(len(one.boxes) for one in truths):
        rng = np.random.default_rng(seed)
        exact = [guess(one.boxes, rng.random(len(one.boxes)), one.kinds) for one in truths]
        found = values(figures(truths, exact, KINDS))
        assert found[np.isfinite(found)] == pytest.approx(1)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_intervals_hold_their_figure(seed):
    truths, guesses = random_boxes(seed, pictures=20)
    found = figures(truths, guesses, KINDS, resamples=200, seed=seed)
    for estimate in (found.ap50, found.ap50_95, found.ap75, *(row.ap50 for row in found.kinds)):
        assert estimate.low <= estimate.value <= estimate.high


def test_the_intervals_of_perfect_boxes_have_no_width():
    found = figures([truth(THREE)] * 4, [guess(THREE, [0.9, 0.8, 0.7])] * 4, resamples=50)
    assert (found.ap50.low, found.ap50.value, found.ap50.high) == pytest.approx((1, 1, 1))


def test_pictures_of_a_patient_are_drawn_together():
    truths, guesses = random_boxes(1, pictures=6)
    copies, patients = [0, 1, 2, 3, 4, 5] * 8, [f"patient {i}" for i in [0, 1, 2, 3, 4, 5] * 8]
    truths, guesses = [truths[i] for i in copies], [guesses[i] for i in copies]
    by_patient = figures(truths, guesses, KINDS, groups=patients, resamples=300)
    by_picture = figures(truths, guesses, KINDS, resamples=300)
    assert by_patient.ap50.value == by_picture.ap50.value
    assert by_patient.ap50.high - by_patient.ap50.low > 1.5 * (by_picture.ap50.high - by_picture.ap50.low)
    assert (by_patient.sampling.unit, by_patient.sampling.units) == ("patient", 6)
    assert (by_picture.sampling.unit, by_picture.sampling.units) == ("picture", 48)


def test_a_rare_kind_that_is_not_drawn_does_not_move_the_mean():
    # A kind in one picture only, found with a precision of 0; all others are perfect: without it the mean would be 1.
    truths = [truth(squares((0, 0)), [0])] * 9 + [truth(squares((0, 0)), [1])]
    guesses = [guess(squares((0, 0)), [0.9], [0])] * 9 + [NOTHING]
    found = figures(truths, guesses, ("a", "b"), resamples=100)
    assert (found.ap50.low, found.ap50.value, found.ap50.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_same_seed_gives_the_same_figures():
    truths, guesses = random_boxes(2)
    first, again = (figures(truths, guesses, KINDS, resamples=50, seed=9) for _ in range(2))
    other = figures(truths, guesses, KINDS, resamples=50, seed=10)
    assert first.ap50 == again.ap50
    assert (first.ap50_95.low, first.ap50_95.high) != (other.ap50_95.low, other.ap50_95.high)


def test_the_balance_of_matches_without_boxes_is_zero():
    (matches,) = judge([truth(squares((0, 0)))], [NOTHING], 1, 10).matches
    assert best_balance(matches).f1 == 0


@pytest.mark.parametrize(
    ("truths", "guesses", "message"),
    [
        ([truth(THREE)], [], "0 pictures were searched, expected 1"),
        ([truth(NONE)], [NOTHING], "nothing is marked in 1 pictures"),
        ([truth(THREE, [0, 0, 5])], [NOTHING], "picture 0: 3 kinds for 3 boxes"),
        ([BoxTruth(THREE, np.zeros(2, int), NONE)], [NOTHING], "picture 0: 2 kinds for 3 boxes"),
        ([truth(THREE[:, :3])], [NOTHING], r"picture 0, true: shape \(3, 3\)"),
        ([truth(THREE), truth(squares((0, 0), side=0))], [NOTHING, NOTHING], "picture 1, true: a box without width"),
        ([truth(THREE)], [guess(THREE * np.nan, [1, 1, 1])], "picture 0, given: a box without width"),
        ([truth(THREE, ignored=np.zeros(4))], [NOTHING], r"picture 0, ignored: shape \(4,\)"),
        ([truth(THREE)], [guess(THREE, [0.9, 0.8])], "one finite score for each of 3 boxes"),
        ([truth(THREE)], [guess(THREE, [0.9, 0.8, np.nan])], "one finite score for each of 3 boxes"),
        ([truth(THREE)], [guess(THREE, [0.9, 0.8, 0.7], [0, 0, -1])], "3 kinds for 3 boxes"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(truths, guesses, message):
    with pytest.raises(UserError, match=message):
        figures(truths, guesses)


def test_kinds_of_one_name_and_no_boxes_at_all_are_refused():
    with pytest.raises(UserError, match="different names, found a, a"):
        figures([truth(THREE)], [NOTHING], ("a", "a"))
    with pytest.raises(UserError, match="at most 0 boxes"):
        figures([truth(THREE)], [NOTHING], max_per_picture=0)
