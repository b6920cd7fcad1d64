import numpy as np
import pytest

from marrow_models.diagnosis.differential import differential
from marrow_models.diagnosis.features import FEATURES, LOG_ME, feature_vector
from marrow_models.diagnosis.model_files import DESCRIPTION_FILE, WEIGHTS_FILE, load_model
from marrow_models.diagnosis.novelty import fit_novelty
from marrow_models.diagnosis.training import neighbour_confusion, simulate_cohort, train_diagnosis
from marrow_models.errors import UserError

from .patients import MARROW49, SHARES, sample, small_model, typical


def train(folder, **more):
    arguments = {"seed": 3, "patients": 200, "profiles": tuple(SHARES), "sample": sample}
    return train_diagnosis(folder, **(arguments | more))


# --- features ----------------------------------------------------------------------------------------------


def test_the_features_are_percentages_and_the_logarithm_of_me():
    made = differential({"lymphocytic_blast": 60, "segmented_neutrophil": 30, "proerythroblast": 10}, MARROW49)
    vector = dict(zip(FEATURES, feature_vector(made), strict=True))
    assert (vector["blast"], vector["lymphoid_blasts"], vector["myeloid_blasts"]) == (60.0, 60.0, 0.0)
    assert vector[LOG_ME] == pytest.approx(np.log(30.5 / 10.5))
    assert sum(vector[name] for name in MARROW49.categories) == pytest.approx(100)


@pytest.mark.parametrize("counts", [{}, {"lymphocyte": 5}, {"proerythroblast": 9}, {"segmented_neutrophil": 9}])
def test_the_features_are_finite_also_where_a_line_is_missing(counts):
    assert np.isfinite(feature_vector(differential(counts, MARROW49))).all()


# --- simulated counting ------------------------------------------------------------------------------------


def test_miscounting_is_symmetric_and_loses_no_cell():
    matrix = neighbour_confusion(MARROW49)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert (matrix >= 0).all()


def test_only_neighbours_in_maturing_are_taken_for_each_other():
    matrix, labels = neighbour_confusion(MARROW49, 0.05), MARROW49.labels
    at = lambda a, b: matrix[labels.index(a), labels.index(b)]  # noqa: E731
    assert at("promyelocyte", "neutrophilic_myelocyte") == 0.05
    assert at("promyelocyte", "segmented_neutrophil") == 0.0
    assert at("lymphocytic_blast", "myelocytic_blast") == 0.0
    assert at("macrophage", "macrophage") == 1.0


@pytest.mark.parametrize("error", [0.4, -0.1, 1.0])
def test_an_error_that_leaves_no_correct_cell_is_refused(error):
    with pytest.raises(UserError, match="counting error"):
        neighbour_confusion(MARROW49, error)


def simulate(**more):
    arguments = {"patients": 200, "taxonomy": MARROW49, "confusion": neighbour_confusion(MARROW49)}
    return simulate_cohort(np.random.default_rng(0), tuple(SHARES), sample, **(arguments | more))


def test_every_profile_has_the_same_number_of_patients():
    names, counts = np.unique(simulate().diagnoses, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == dict.fromkeys(SHARES, 50)


def test_miscounting_shows_in_what_is_counted():
    exact, blurred = simulate(confusion=np.eye(len(MARROW49.labels))), simulate()
    promyelocytes = FEATURES.index("promyelocyte")
    aml = exact.diagnoses == "AML"
    assert blurred.features[aml, promyelocytes].mean() > exact.features[aml, promyelocytes].mean() + 1


@pytest.mark.parametrize(
    "confusion", [np.eye(3), np.zeros((49, 49)), np.full((49, 49), np.nan), np.eye(49) * 2 - np.eye(49)[::-1]]
)
def test_a_confusion_that_is_none_is_refused(confusion):
    with pytest.raises(UserError, match="confusion must be 49 rows"):
        simulate(confusion=confusion)


def test_too_few_patients_for_the_folds_are_refused():
    with pytest.raises(UserError, match="10 patients of each"):
        simulate(patients=39)


# --- the model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("diagnosis", SHARES)
def test_a_typical_patient_is_recognised(diagnosis):
    prediction = small_model().predict(differential(typical(diagnosis), MARROW49))
    assert next(iter(prediction.probabilities)) == diagnosis
    assert prediction.familiar
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_probabilities_come_with_the_most_probable_first():
    found = list(small_model().predict(differential(typical("AML"), MARROW49)).probabilities.values())
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("counts", "odd"),
    [
        ({"plasma_cell": 300, "lymphocyte": 300}, {"plasma_cell"}),
        ({"lymphocyte": 600}, {"lymphocyte"}),
        ({"monocyte": 400, "lymphocyte": 200}, {"monocyte"}),
        ({"unknown_blast": 550, "lymphocyte": 50}, {"unknown_blasts"}),
        ({"segmented_eosinophil": 500, "lymphocyte": 100}, {"eosinophil"}),
        ({"polychromatic_erythroblast": 600}, {"erythroblast", LOG_ME}),
        ({"segmented_basophil": 600}, {"basophil"}),
    ],
)
def test_a_differential_unlike_all_others_is_unfamiliar_and_it_is_said_why(counts, odd):
    prediction = small_model().predict(differential(counts, MARROW49))
    assert not prediction.familiar
    assert prediction.oddest in odd


def test_a_few_cells_of_a_kind_that_training_lacked_do_not_make_a_patient_unfamiliar():
    rare = {"plasma_cell": 12, "basophilic_band": 8, "promonocyte": 8, "unknown_blast": 5}
    assert small_model().predict(differential(typical("normal") | rare, MARROW49)).familiar


def test_the_distance_is_zero_at_the_mean_of_a_diagnosis_and_grows_away_from_it():
    cohort = simulate()
    novelty = fit_novelty(cohort.features, cohort.diagnoses, tuple(SHARES))
    assert novelty.distances(novelty.means) == pytest.approx(0, abs=1e-9)
    away = novelty.means[0] + np.outer(np.arange(1, 4), np.ones(len(FEATURES)))
    assert (np.diff(novelty.distances(away)) > 0).all()


# --- training as a whole -----------------------------------------------------------------------------------


def test_training_twice_gives_the_same_files(tmp_path):
    one, two = train(tmp_path / "one"), train(tmp_path / "two")
    assert one.digest == two.digest
    for name in (DESCRIPTION_FILE, WEIGHTS_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_seed_is_another_model(tmp_path):
    assert train(tmp_path / "one").digest != train(tmp_path / "two", seed=4).digest


def test_the_figures_are_those_of_held_out_patients_and_reach_the_goal(tmp_path):
    report = train(tmp_path, patients=400)
    assert report.figures.macro_f1 >= 0.97
    assert report.figures.unfamiliar <= 0.01
    assert sum(map(sum, report.figures.confusion)) == report.patients == 400
    assert report.figures.macro_f1 == pytest.approx(np.mean(list(report.figures.f1.values())))


def test_the_figures_fall_when_the_diagnoses_are_mixed_up(tmp_path):
    """A figure that is computed on the patients of the fit, or not at all, would not notice."""
    shuffled = np.random.default_rng(0)
    mixed = lambda rng, _: sample(rng, str(shuffled.choice(list(SHARES))))  # noqa: E731
    report = train(tmp_path, sample=mixed)
    assert report.figures.macro_f1 < 0.45


def test_the_table_gives_f1_for_each_diagnosis(tmp_path):
    report = train(tmp_path)
    for name, value in report.figures.f1.items():
        assert f"{name:<10} {value:.3f}" in report.table()


def test_the_trained_model_is_the_one_on_disk(tmp_path):
    report = train(tmp_path)
    assert load_model(tmp_path, report.digest).classes == tuple(sorted(SHARES))
