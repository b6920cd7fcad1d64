import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from marrow_models.datasets.aipal import read_aipal, read_laboratory_table
from marrow_models.diagnosis.laboratory import LEAST_VALUES, MODEL, load_laboratory
from marrow_models.diagnosis.laboratory_features import FEATURES, PLAIN_FEATURES, laboratory_features
from marrow_models.diagnosis.laboratory_training import (
    LaboratorySettings,
    evaluate_laboratory,
    fit_laboratory,
    rows_of,
    train_laboratory,
)
from marrow_models.diagnosis.laboratory_values import NAMES
from marrow_models.errors import BundleError, UserError

from .tables import laboratory_rows, write_csv, write_hospitals

GRID = {
    "linear": [{"c": 0.1}, {"c": 0.3}],
    "smooth": [{"c": 1.0, "gamma": 0.02, "features": len(PLAIN_FEATURES)}],
    "trees": [{"rounds": 20, "depth": 2, "rate": 0.1, "leaf": 5}],
}
QUICK = LaboratorySettings(folds=2, draws=20, grid=GRID)
LINEAR = LaboratorySettings(folds=2, draws=20, grid={"linear": GRID["linear"]})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_hospitals(tmp_path_factory.mktemp("aipal"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "model"
    return train_laboratory(data, folder, QUICK)


@pytest.fixture
def folder(trained, tmp_path):
    return Path(shutil.copytree(trained.folder, tmp_path / "model"))


def place(name):
    return FEATURES.index(name)


def patient(**changes):
    typical = dict(zip(NAMES, (60, 10, 90, 340, 20, 2, 30, 3, 5, 0.5, 50, 80, 3.5, 400), strict=True))
    return np.array([[typical[name] if name not in changes else changes[name] for name in NAMES]], dtype=float)


# --- features ----------------------------------------------------------------------------------------------


def test_the_cells_that_are_none_of_the_three_kinds_are_what_is_left():
    row = laboratory_features(patient())[0]
    assert row[place("share of other cells")] == 45
    assert row[place("log other cells")] == pytest.approx(np.log(4.5 + 0.05))


def test_a_missing_percentage_is_computed_from_the_count_and_the_other_way_round():
    whole = laboratory_features(patient())
    np.testing.assert_allclose(laboratory_features(patient(ANC_percent=np.nan)), whole)
    np.testing.assert_allclose(laboratory_features(patient(Lymphocytes_G_L=np.nan)), whole)


def test_prothrombin_above_the_ceiling_of_some_laboratories_says_nothing_more():
    np.testing.assert_array_equal(
        laboratory_features(patient(PT_percent=100.0)), laboratory_features(patient(PT_percent=115.0))
    )


def test_no_count_at_all_is_finite_and_a_missing_value_is_missing():
    row = laboratory_features(patient(ANC_percent=0.0, ANC_G_L=0.0, Platelets_G_L=0.0, LDH_UI_L=np.nan))[0]
    missing = {name for name, value in zip(FEATURES, row, strict=True) if np.isnan(value)}
    assert missing == {"log LDH", "log LDH per WBC", "log LDH per other cell"}
    assert np.isfinite(row).sum() == len(FEATURES) - 3


# --- training and figures ----------------------------------------------------------------------------------


def test_each_hospital_is_measured_and_the_classes_are_found(trained):
    assert list(trained.figures) == ["north", "south", "west"]
    for own in trained.figures.values():
        assert min(area.value for area in own.auc.values()) > 0.85
        assert {area.patients for area in own.auc.values()} == {14}
    assert {area.patients + area.others for area in trained.pooled.values()} == {126}


def test_children_are_left_out_of_the_figures_of_adults(data):
    patients = read_aipal(data)
    patients.values[patients.responses == "ALL", 0] = 4.0
    figures, _ = evaluate_laboratory(patients, LINEAR)
    assert set(figures["north"].adult_auc) == {"AML", "APL"}
    assert figures["north"].adult_auc["APL"].others == 14


def test_nothing_of_the_hospital_held_out_takes_part_in_its_figures(data):
    """Were it in the training or the choice, its mixed-up responses would change the model that judges it."""
    patients = read_aipal(data)
    west = patients.hospitals == "west"
    mixed = patients.responses.copy()
    mixed[west] = np.random.default_rng(0).permutation(mixed[west])
    rows, other = rows_of(patients), rows_of(replace(patients, responses=mixed))
    one, chosen = fit_laboratory(rows.of(~west), LINEAR)
    two, chosen_again = fit_laboratory(other.of(~west), LINEAR)
    np.testing.assert_array_equal(
        one.predict(patients.values[west]).probabilities, two.predict(patients.values[west]).probabilities
    )
    assert chosen == chosen_again
    figures, _ = evaluate_laboratory(replace(patients, responses=mixed), LINEAR)
    assert np.mean([area.value for area in figures["west"].auc.values()]) < 0.7
    assert figures["west"].chosen == chosen


def test_two_hospitals_are_too_few(tmp_path):
    with pytest.raises(UserError, match="three or more hospitals"):
        train_laboratory(write_hospitals(tmp_path, names=("north", "south")), tmp_path / "model", QUICK)


def test_a_response_that_one_hospital_alone_has_cannot_be_held_out(tmp_path):
    write_hospitals(tmp_path)
    for i, name in enumerate(("south", "west")):
        rows = laboratory_rows(np.random.default_rng(i), responses=("ALL", "AML"))
        write_csv(tmp_path / f"aipal_{name}.csv", rows)
    with pytest.raises(UserError, match="without north no patient has APL"):
        train_laboratory(tmp_path, tmp_path / "model", QUICK)


@pytest.mark.slow
def test_training_twice_gives_the_same_files(trained, data, tmp_path):
    again = train_laboratory(data, tmp_path / "again", QUICK)
    assert again.digest == trained.digest
    for name in (f"{MODEL}.json", f"{MODEL}.skops"):
        assert (tmp_path / "again" / name).read_bytes() == (trained.folder / name).read_bytes()


def test_the_description_says_what_was_measured_chosen_and_met(trained):
    written = json.loads((trained.folder / f"{MODEL}.json").read_text())
    assert written["figures"]["hospitals"]["west"]["auc"]["APL"]["auc"] == round(
        trained.figures["west"].auc["APL"].value, 4
    )
    assert written["training"]["patients"] == {"north": 42, "south": 42, "west": 42}
    assert written["training"]["chosen"]["linear"] in GRID["linear"]
    assert "Research Use Only" in written["intended_use"]


def test_the_table_shows_every_hospital_and_what_was_published(trained):
    text = trained.table()
    assert "published: ALL 0.90, AML 0.89, APL 0.97" in text
    assert all(name in text for name in ("north", "south", "west", "pooled", "unfamiliar"))


# --- prediction --------------------------------------------------------------------------------------------


def test_the_model_on_disk_is_the_one_that_was_trained(trained, data):
    model = load_laboratory(trained.folder, trained.digest)
    patients = read_aipal(data)
    direct, _ = fit_laboratory(rows_of(patients), QUICK)
    np.testing.assert_allclose(
        model.predict(patients.values).probabilities, direct.predict(patients.values).probabilities, rtol=1e-9
    )


def test_a_new_table_is_predicted_also_without_some_columns(trained, tmp_path):
    rows = laboratory_rows(np.random.default_rng(77), per_response=15)
    fewer = [{k: v for k, v in row.items() if k not in ("LDH_UI_L", "MCHC_g_L", "Response")} for row in rows]
    table = read_laboratory_table(write_csv(tmp_path / "new.csv", fewer))
    result = load_laboratory(trained.folder).predict(table.values)
    first = np.array(result.classes)[result.probabilities.argmax(axis=1)]
    assert (first == [row["Response"] for row in rows]).mean() > 0.8
    assert set(result.known.tolist()) == {12}


def test_with_too_few_values_nothing_is_named(trained):
    values = patient()
    values[:, LEAST_VALUES - 1 :] = np.nan
    result = load_laboratory(trained.folder).predict(values)
    assert (result.named, result.known.tolist()) == ((None,), [LEAST_VALUES - 1])
    assert result.probabilities.sum() == pytest.approx(1)


def test_a_patient_unlike_all_others_is_unfamiliar_and_it_is_said_why(trained):
    result = load_laboratory(trained.folder).predict(patient(MCV_fL=148.0))
    assert (result.named, result.familiar.tolist(), result.oddest) == ((None,), [False], ("MCV",))


def test_a_typical_patient_is_named(trained):
    apl = patient(WBC_G_L=3.0, ANC_percent=15, ANC_G_L=0.45, Lymphocytes_percent=30, Lymphocytes_G_L=0.9,
                  Monocytes_percent=1, Monocytes_G_L=0.03, Platelets_G_L=28, PT_percent=60, Fibrinogen_g_L=1.3,
                  MCHC_g_L=352, LDH_UI_L=330, age=50)  # fmt: skip
    assert load_laboratory(trained.folder).predict(apl).named == ("APL",)


def test_rows_of_another_width_are_refused(trained):
    with pytest.raises(UserError, match="rows of 14"):
        load_laboratory(trained.folder).predict(np.zeros((2, 13)))


# --- files -------------------------------------------------------------------------------------------------


def test_another_digest_is_refused(trained):
    with pytest.raises(BundleError, match="expected was 000000000000"):
        load_laboratory(trained.folder, "0" * 64)


def test_altered_weights_are_refused(folder):
    path = folder / f"{MODEL}.skops"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BundleError, match="SHA-256"):
        load_laboratory(folder)


@pytest.mark.parametrize("name", [f"{MODEL}.skops", f"{MODEL}.json"])
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_laboratory(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"classes": ["ALL", "AML"]},
        {"features": ["age"]},
        {"values": ["age"]},
        {"novelty_limit": -1},
        {"least_values": 0},
        {"more": 1},
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, change):
    path = folder / f"{MODEL}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=MODEL):
        load_laboratory(folder)
