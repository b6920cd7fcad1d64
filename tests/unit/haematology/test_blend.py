import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from marrow_models.diagnosis.auc import bootstrap_auc, table
from marrow_models.diagnosis.blend import blend_arrays, blend_of_arrays, fit_blend, learn_temperature
from marrow_models.diagnosis.blend_choice import Rows, choose, held_out_scores, one_vs_rest
from marrow_models.diagnosis.blend_members import fit_linear, fit_smooth, fit_trees
from marrow_models.errors import UserError

LINEAR, SMOOTH = {"c": 0.3}, {"c": 1.0, "gamma": 0.05, "features": 3}
TREES = {"rounds": 15, "depth": 2, "rate": 0.1, "leaf": 5}
PARAMETERS = {"linear": LINEAR, "smooth": SMOOTH, "trees": TREES}


def patients(size=150, seed=0, features=4, spread=1.5):
    """(features, labels): three classes of unequal size, each around its own centre."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(["a", "b", "c"], size, p=[0.5, 0.3, 0.2])
    centres = {"a": 0.0, "b": spread, "c": -spread}
    shift = np.array([centres[name] for name in labels])
    return rng.normal(size=(size, features)) + np.column_stack([shift, -shift, np.abs(shift), 0 * shift])[
        :, :features
    ], labels


# --- members -----------------------------------------------------------------------------------------------


def test_the_linear_member_is_what_scikit_learn_fitted():
    x, y = patients()
    theirs = LogisticRegression(C=0.3, max_iter=3000, class_weight="balanced").fit(x, y)
    np.testing.assert_allclose(np.exp(fit_linear(x, y, LINEAR).log_probabilities(x)), theirs.predict_proba(x))


def test_the_smooth_member_is_what_scikit_learn_fitted():
    x, y = patients()
    cut = np.clip(x[:, :3], -2.5, 2.5)
    kernel = Nystroem(gamma=0.05, n_components=len(x), random_state=0)
    theirs = LogisticRegression(C=1.0, max_iter=3000, class_weight="balanced").fit(kernel.fit_transform(cut), y)
    ours = np.exp(fit_smooth(x, y, SMOOTH).log_probabilities(x))
    np.testing.assert_allclose(ours, theirs.predict_proba(kernel.transform(cut)), atol=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_trees_are_what_scikit_learn_grew(depth):
    x, y = patients()
    theirs = GradientBoostingClassifier(
        n_estimators=15,
        max_depth=depth,
        learning_rate=0.1,
        min_samples_leaf=5,
        subsample=0.7,
        max_features=0.4,
        random_state=0,
    ).fit(x, y, sample_weight=compute_sample_weight("balanced", y))
    new, _ = patients(seed=1)
    ours = np.exp(fit_trees(x, y, TREES | {"depth": depth}).log_probabilities(new))
    np.testing.assert_allclose(ours, theirs.predict_proba(new), atol=1e-9)


def test_outside_of_the_training_the_smooth_member_says_no_more_than_at_its_edge():
    x, y = patients()
    member = fit_smooth(x, y, SMOOTH)
    edge, beyond = np.full((1, 4), 2.5), np.full((1, 4), 40.0)
    np.testing.assert_array_equal(member.log_probabilities(edge), member.log_probabilities(beyond))


# --- blend -------------------------------------------------------------------------------------------------


def test_the_probabilities_add_up_and_find_the_classes():
    x, y = patients()
    new, truth = patients(seed=1)
    blend = fit_blend(x, y, PARAMETERS)
    found = blend.probabilities(new)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert min(one_vs_rest(truth, found, blend.classes)) > 0.9


def test_a_missing_value_counts_as_the_median():
    x, y = patients()
    blend = fit_blend(x, y, PARAMETERS)
    gap, filled = x[:1].copy(), x[:1].copy()
    gap[0, 1], filled[0, 1] = np.nan, blend.medians[1]
    np.testing.assert_array_equal(blend.probabilities(gap), blend.probabilities(filled))


def test_that_a_value_is_missing_says_nothing():
    """Were missing values of class a a feature, it could be told from nothing else."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 3)), rng.choice(["a", "b", "c"], 200)
    x[y == "a", 0] = np.nan
    blank = np.full((1, 3), np.nan)
    assert fit_blend(x, y, {"linear": LINEAR}).probabilities(blank).max() < 0.5


def test_a_feature_that_is_always_the_same_is_no_division_by_zero():
    x, y = patients()
    x[:, 3] = 7.0
    assert np.isfinite(fit_blend(x, y, PARAMETERS).probabilities(x)).all()


def test_every_class_weighs_the_same_however_rare():
    rng = np.random.default_rng(0)
    y = np.array(["a"] * 300 + ["b"] * 300 + ["c"] * 20)
    blank = fit_blend(rng.normal(size=(620, 2)), y, {"linear": {"c": 0.001}}).probabilities(np.zeros((1, 2)))
    np.testing.assert_allclose(blank, 1 / 3, atol=0.05)


def test_the_temperature_cools_scores_that_boast():
    x, y = patients(spread=0.7)
    scores, _ = held_out_scores(Rows(x, y, np.full(len(y), "h")), {"linear": LINEAR}, folds=3, seed=0)
    plain = learn_temperature(scores, y, ("a", "b", "c"))
    assert learn_temperature(3 * scores, y, ("a", "b", "c")) == pytest.approx(3 * plain, rel=0.01)


def test_a_blend_comes_back_from_its_arrays():
    x, y = patients()
    blend = fit_blend(x, y, PARAMETERS)
    again = blend_of_arrays(blend_arrays(blend), blend.classes, 4)
    np.testing.assert_array_equal(again.probabilities(x), blend.probabilities(x))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("trees.left", lambda a: a + 1000),
        ("trees.feature", lambda a: a - 1),
        ("trees.feature", lambda a: a + 0.5),
        ("trees.depth", lambda a: a + 100),
        ("trees.value", lambda a: a[:-1]),
        ("linear.coefficients", lambda a: a[:, :-1]),
        ("smooth.weights", lambda a: a.T),
        ("smooth.points", lambda a: np.hstack([a, a])),
        ("scales", lambda a: 0 * a),
        ("temperature", lambda a: -a),
        ("medians", lambda a: a * np.nan),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(name, change):
    x, y = patients()
    arrays = blend_arrays(fit_blend(x, y, PARAMETERS))
    arrays[name] = change(arrays[name])
    with pytest.raises(ValueError, match=r"."):
        blend_of_arrays(arrays, ("a", "b", "c"), 4)


def test_arrays_without_a_member_are_refused():
    x, y = patients()
    arrays = {name: a for name, a in blend_arrays(fit_blend(x, y, PARAMETERS)).items() if "." not in name}
    with pytest.raises(ValueError, match="no member"):
        blend_of_arrays(arrays, ("a", "b", "c"), 4)


# --- choice ------------------------------------------------------------------------------------------------


def rows(seed=0, groups=("north", "south")):
    x, y = patients(240, seed)
    return Rows(x, y, np.array([groups[i % len(groups)] for i in range(len(y))]))


def test_parameters_that_can_learn_are_chosen_over_some_that_cannot():
    frozen = TREES | {"rounds": 1, "rate": 1e-9}
    assert choose(rows(), {"trees": [frozen, TREES]}, folds=3, seed=0) == {"trees": TREES}


def test_of_equals_the_first_is_chosen():
    first, second = {"c": 0.3}, {"c": 0.3, "same": 1.0}
    assert choose(rows(), {"linear": [first, second]}, folds=3, seed=0)["linear"] is first


def test_a_feature_that_only_tells_hospitals_apart_is_worth_nothing():
    """Pooled, the hospital would predict the class; within each hospital it does not."""
    rng = np.random.default_rng(1)
    groups = np.repeat(["north", "south"], 150)
    y = np.where(rng.random(300) < np.where(groups == "north", 0.8, 0.2), "a", rng.choice(["b", "c"], 300))
    x = np.column_stack([(groups == "north") + rng.normal(0, 0.01, 300), rng.normal(size=300)])
    made = Rows(x, y, groups)
    scores, _ = held_out_scores(made, {"linear": LINEAR}, folds=3, seed=0)
    pooled = one_vs_rest(y, scores, ("a", "b", "c"))[0]
    within = [one_vs_rest(y[groups == g], scores[groups == g], ("a", "b", "c"))[0] for g in ("north", "south")]
    assert pooled > 0.7
    assert np.mean(within) < 0.6


def test_a_patient_is_scored_by_a_model_that_was_fitted_without():
    """Labels drawn by lot can be learned by heart, and not foretold."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 4)), rng.choice(["a", "b", "c"], 120)
    heart = {"trees": TREES | {"rounds": 80, "depth": 3}}
    scores, parts = held_out_scores(Rows(x, y, np.full(120, "h")), heart, folds=4, seed=0)
    assert np.mean(one_vs_rest(y, scores, ("a", "b", "c"))) < 0.65
    assert np.mean(one_vs_rest(y, fit_blend(x, y, heart).scores(x), ("a", "b", "c"))) > 0.9
    assert sorted(np.concatenate([held_out for _, held_out in parts]).tolist()) == list(range(120))


# --- areas -------------------------------------------------------------------------------------------------


def test_the_interval_holds_the_area_and_narrows_with_more_patients():
    rng = np.random.default_rng(0)
    truth = np.arange(400) % 4 == 0
    scores = truth + rng.normal(size=400)
    few, many = (bootstrap_auc(truth[:n], scores[:n], draws=300, seed=0) for n in (60, 400))
    for area in (few, many):
        assert area.interval.low <= area.value <= area.interval.high
    assert many.interval.high - many.interval.low < few.interval.high - few.interval.low
    assert (many.patients, many.others) == (100, 300)


def test_a_perfect_score_has_an_area_of_one():
    truth = np.array([True, False, True, False])
    area = bootstrap_auc(truth, truth.astype(float), draws=50, seed=0)
    assert (area.value, area.interval.low, area.interval.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("truth", [np.zeros(5, bool), np.ones(5, bool)])
def test_no_area_without_patients_on_both_sides(truth):
    with pytest.raises(UserError, match="no AUC of M3"):
        bootstrap_auc(truth, np.arange(5.0), draws=10, seed=0, name="M3")


def test_the_table_has_a_line_for_each_area():
    area = bootstrap_auc(np.array([True, False]), np.array([1.0, 0.0]), draws=10, seed=0)
    assert table({"lyon": {"APL": area}}) == "lyon         APL    1.000 (1.000-1.000; 1 of 2)"
