import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from marrow_models.evaluation.ranks import RankedScores


def test_the_area_is_the_share_of_pairs_in_order():
    # 0.9 and 0.4 are of the class: of six pairs the second loses one, to 0.6.
    ranks = RankedScores(np.asarray([0.9, 0.4, 0.6, 0.2, 0.1]), np.asarray([True, True, False, False, False]))
    assert ranks.auc(np.ones((1, 5))) == pytest.approx([5 / 6])


def test_equal_scores_count_half():
    ranks = RankedScores(np.asarray([0.5, 0.5]), np.asarray([True, False]))
    assert ranks.auc(np.ones((1, 2))) == pytest.approx([0.5])


def test_a_draw_without_one_side_has_no_area():
    ranks = RankedScores(np.asarray([0.1, 0.2, 0.3]), np.asarray([False, False, True]))
    areas = ranks.auc(np.asarray([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0]]))
    assert np.isnan(areas[:2]).all()
    assert areas[2] == 1


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_area_of_a_draw_is_that_of_scikit_learn_on_the_repeated_cells(seed, levels):
    rng = np.random.default_rng(seed)
    scores, positive = rng.integers(0, levels, 50) / levels, rng.random(50) < 0.3
    weights = rng.integers(0, 4, (4, 50)).astype(float)
    areas = RankedScores(scores, positive).auc(weights)
    for drawn, area in zip(weights.astype(int), areas, strict=True):
        rows = np.repeat(np.arange(50), drawn)
        if positive[rows].any() and not positive[rows].all():
            assert area == pytest.approx(roc_auc_score(positive[rows], scores[rows]))
        else:
            assert np.isnan(area)
