import json
from pathlib import Path

import numpy as np
import pytest

from marrow_models.diagnosis.counting_error import CONDITIONS, CountingSettings, train_on_predicted_counts
from marrow_models.diagnosis.counting_matrix import Confusion, as_json, parse_confusion, read_confusion
from marrow_models.diagnosis.counting_simulation import CountingError, naming_shares, simulate_counts
from marrow_models.diagnosis.features import FEATURES
from marrow_models.diagnosis.model_files import load_model
from marrow_models.errors import UserError

from .patients import MARROW49

METADATA = Path(__file__).parents[3] / "marrow_models" / "bundles" / "phantom" / "configs" / "metadata.json"
PHANTOM = read_confusion(METADATA)
PERFECT = Confusion(PHANTOM.names, 10**6 * np.eye(len(PHANTOM.names), dtype=np.int64))
QUICK = CountingSettings(patients=80, draws=50)


def error(**more):
    usual = {"confusion": PHANTOM, "missed": 0.02, "false_positives": 0.01, "lineage_kept": 0.95, "uncovered_kept": 0.9}
    return CountingError(**(usual | more))


def perfect(**more):
    exact = {"confusion": PERFECT, "missed": 0.0, "false_positives": 0.0, "lineage_kept": 1.0, "uncovered_kept": 1.0}
    return error(**(exact | {"pseudo_count": 1e-9} | more))


def at(label):
    return MARROW49.labels.index(label)


# --- the confusion -----------------------------------------------------------------------------------------


def test_the_confusion_of_a_bundle_is_read_from_its_metadata():
    written = json.loads(METADATA.read_text())["eval_metrics"]
    assert list(PHANTOM.names) == written["categories"]
    assert PHANTOM.counts.tolist() == written["confusion"]


def test_labels_of_a_taxonomy_become_categories_and_classes_of_one_category_one_row():
    content = {
        "taxonomy": "marrow49",
        "labels": ["eosinophilic_myelocyte", "segmented_eosinophil", "megakaryocyte", "lymphocyte"],
        "confusion": [[8, 2, 0, 0], [1, 9, 0, 0], [0, 0, 5, 0], [0, 1, 0, 7]],
    }
    found = parse_confusion(content, "x.json")
    assert found.names == ("eosinophil", "megakaryocyte", "lymphocyte")
    assert found.counts.tolist() == [[20, 0, 0], [0, 5, 0], [1, 0, 7]]


def test_the_eleven_classes_of_blood_are_read_with_their_own_taxonomy():
    from marrow_models.taxonomy import load_taxonomy

    labels = load_taxonomy("pbc11").labels
    found = parse_confusion(
        {"taxonomy": "pbc11", "labels": list(labels), "confusion": np.eye(11, dtype=int).tolist()}, "x"
    )
    assert {"segmented_neutrophil", "band_neutrophil", "erythroblast", "platelet"} <= set(found.names)


def test_a_confusion_comes_back_from_its_json():
    again = parse_confusion(as_json(PHANTOM), "x")
    assert again.names == PHANTOM.names
    np.testing.assert_array_equal(again.counts, PHANTOM.counts)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected an object"),
        ({"confusion": [[1]]}, "expected labels or categories and confusion, found confusion"),
        ({"labels": ["a", "b"]}, "expected labels or categories and confusion, found labels"),
        ({"labels": ["a", "a"], "confusion": [[1, 0], [0, 1]]}, "two or more different names"),
        ({"labels": ["a", "b"], "confusion": [[1, 0]]}, "2 rows of 2 whole numbers"),
        ({"labels": ["a", "b"], "confusion": [[1, 0], [0, -1]]}, "2 rows of 2 whole numbers"),
        ({"labels": ["a", "b"], "confusion": [[1, 0], [0.5, 1]]}, "2 rows of 2 whole numbers"),
        ({"labels": ["a", "b"], "confusion": [[1, 0], [0, 1]], "taxonomy": "pbc11"}, "no label 'a'"),
    ],
)
def test_what_is_no_confusion_is_refused(content, message):
    with pytest.raises(UserError, match=message):
        parse_confusion(content, "x.json")


def test_a_row_of_few_cells_is_not_taken_for_free_of_errors():
    shares = Confusion(("a", "b"), np.array([[1, 0], [0, 999]])).shares(0.5)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares[0, 1] == pytest.approx(0.25)
    assert shares[1, 0] == pytest.approx(0.0005)


def test_a_pseudo_count_of_nothing_is_refused():
    with pytest.raises(UserError, match="pseudo-count"):
        PHANTOM.shares(0.0)


# --- what cells are named ----------------------------------------------------------------------------------


def test_the_shares_of_every_label_add_up():
    shares = naming_shares(error(), MARROW49)
    np.testing.assert_allclose(shares.of_cells.sum(axis=1), 1)
    assert shares.of_nothing.sum() == pytest.approx(1)


def test_without_error_every_cell_keeps_its_label():
    shares = naming_shares(perfect(), MARROW49)
    np.testing.assert_allclose(shares.of_cells[:, :-1], np.eye(len(MARROW49.labels)), atol=1e-6)


def test_a_wrong_lineage_stays_among_the_blasts():
    row = naming_shares(perfect(lineage_kept=0.7), MARROW49).of_cells[at("lymphocytic_blast")]
    blasts = [at(label) for label in ("myelocytic_blast", "monocytic_blast", "unknown_blast")]
    assert row[at("lymphocytic_blast")] == pytest.approx(0.7, abs=1e-6)
    np.testing.assert_allclose(row[blasts], 0.1, atol=1e-6)


def test_a_wrong_category_becomes_the_labels_that_patients_usually_have():
    swapped = Confusion(("lymphocyte", "eosinophil"), np.array([[0, 100], [100, 0]]))
    row = naming_shares(perfect(confusion=swapped), MARROW49).of_cells[at("lymphocyte")]
    eosinophils = {label: row[at(label)] for label in MARROW49.labels if MARROW49.category_of(label) == "eosinophil"}
    assert sum(eosinophils.values()) == pytest.approx(1, abs=1e-6)
    assert eosinophils["segmented_eosinophil"] > eosinophils["eosinophilic_band"] > 0


def test_a_cell_that_is_taken_for_a_platelet_is_lost():
    platelets = Confusion(("lymphocyte", "platelet"), np.array([[0, 100], [0, 100]]))
    assert naming_shares(perfect(confusion=platelets), MARROW49).of_cells[at("lymphocyte"), -1] == pytest.approx(1)


def test_categories_that_the_confusion_lacks_are_named_and_never_guessed():
    blood = Confusion(("lymphocyte", "monocyte"), np.array([[9, 1], [1, 9]]))
    with pytest.raises(UserError, match=r"has no row for .*blast.*; say with uncovered_kept"):
        naming_shares(error(confusion=blood, uncovered_kept=None), MARROW49)
    row = naming_shares(error(confusion=blood, uncovered_kept=0.8, lineage_kept=1.0), MARROW49).of_cells[
        at("plasma_cell")
    ]
    assert row[at("plasma_cell")] == pytest.approx(0.8)
    assert row[at("monocyte")] + row[at("promonocyte")] == pytest.approx(0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"missed": 1.0},
        {"missed": -0.1},
        {"lineage_kept": 1.1},
        {"uncovered_kept": 2.0},
        {"false_positives": -1.0},
        {"false_positives": float("inf")},
        {"slide_concentration": 0.0},
    ],
)
def test_impossible_errors_are_refused(wrong):
    with pytest.raises(UserError):
        error(**wrong)


# --- simulated counts --------------------------------------------------------------------------------------


def simulate(made, patients=40, seed=0):
    return simulate_counts(np.random.default_rng(seed), made, MARROW49, patients=patients)


def test_without_error_the_predicted_counts_are_the_true_ones():
    cohort = simulate(perfect())
    np.testing.assert_allclose(cohort.predicted, cohort.true)


def test_the_patients_are_the_same_whatever_the_error():
    np.testing.assert_array_equal(simulate(error()).true, simulate(perfect()).true)


def test_cells_that_are_missed_at_random_do_not_move_the_percentages_on_average():
    cohort = simulate(perfect(missed=0.4), patients=200)
    moved = cohort.predicted - cohort.true
    assert np.abs(moved).max() > 0.5
    np.testing.assert_allclose(moved[:, :-1].mean(axis=0), 0, atol=0.3)


def test_false_positives_put_cells_where_there_are_none():
    plasma = FEATURES.index("plasma_cell")
    cohort = simulate(perfect(false_positives=0.5))
    assert cohort.predicted[:, plasma].mean() > cohort.true[:, plasma].mean() + 0.5


def test_slides_that_differ_scatter_more_than_slides_that_are_alike():
    alike, differing = simulate(error()), simulate(error(slide_concentration=5.0))
    scatter = [np.std(cohort.predicted - cohort.true, axis=0).sum() for cohort in (alike, differing)]
    assert scatter[1] > 1.5 * scatter[0]


def test_too_few_patients_for_the_folds_are_refused():
    with pytest.raises(UserError, match="40 patients or more"):
        simulate(error(), patients=39)


# --- figures -----------------------------------------------------------------------------------------------


def test_the_three_conditions_are_measured_and_the_model_is_written(tmp_path):
    report = train_on_predicted_counts(tmp_path, error(), QUICK)
    assert list(report.figures) == list(CONDITIONS)
    for own in report.figures.values():
        assert own.interval.low <= own.mean_f1 <= own.interval.high
        assert own.mean_f1 == pytest.approx(np.mean(list(own.f1.values())))
        assert sum(map(sum, own.confusion)) == 80
    assert report.figures["true counts"].mean_f1 > 0.95
    assert load_model(tmp_path, report.digest).classes == ("ALL", "AML", "CML", "normal")
    assert all(name in report.table() for name in CONDITIONS)


def test_the_assumptions_are_written_with_the_model(tmp_path):
    train_on_predicted_counts(tmp_path, error(), QUICK)
    written = json.loads((tmp_path / "diagnosis.json").read_text())["training"]["counting_error"]
    assert (written["missed"], written["lineage_kept"], written["pseudo_count"]) == (0.02, 0.95, 0.5)
    assert written["cells_of_the_confusion"] == int(PHANTOM.counts.sum())


def test_a_classifier_that_guesses_lineages_cannot_tell_all_from_aml(tmp_path):
    """The figures must fall: a quarter is what a guess among four lineages gets right."""
    report = train_on_predicted_counts(tmp_path, error(lineage_kept=0.25), QUICK)
    exact, predicted = (report.figures[name].f1 for name in ("true counts", "predicted counts"))
    assert min(exact["ALL"], exact["AML"]) > 0.95
    assert min(predicted["ALL"], predicted["AML"]) < 0.9
    assert predicted["normal"] > 0.9


def test_the_same_seed_gives_the_same_model(tmp_path):
    one, two = (train_on_predicted_counts(tmp_path / name, error(), QUICK) for name in ("one", "two"))
    assert (one.digest, one.figures) == (two.digest, two.figures)
    other = train_on_predicted_counts(tmp_path / "three", error(), CountingSettings(seed=1, patients=80, draws=50))
    assert other.digest != one.digest
