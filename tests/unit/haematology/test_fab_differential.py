import json
from dataclasses import replace

import numpy as np
import pytest

from marrow_models.datasets.tcga_laml import read_tcga_laml
from marrow_models.diagnosis.fab_differential import (
    FEATURES,
    MODEL,
    FabSettings,
    fab_features,
    fab_rows,
    fit_fab,
    load_fab,
    nested_probabilities,
    train_fab,
)
from marrow_models.errors import BundleError

from .tables import fab_table, write_csv

QUICK = FabSettings(outer_folds=3, repeats=1, folds=2, draws=50, grid={"linear": [{"c": 0.1}, {"c": 1.0}]})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("tcga") / "laml.csv", fab_table())


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    return train_fab(data, tmp_path_factory.mktemp("fab") / "model", QUICK)


def test_m3_m4_and_m5_are_told_from_the_rest(trained):
    assert {task: area.patients for task, area in trained.auc.items()} == {"M3": 12, "M4": 12, "M5": 12, "M4 or M5": 24}
    assert trained.auc["M3"].value > 0.9
    assert trained.auc["M4 or M5"].value > 0.9


def test_the_figures_stand_beside_those_of_one_kind_of_cell(trained):
    assert trained.single["M3"].value > 0.8
    assert trained.single["M5"].value > trained.single["M4"].value
    assert all(str(area) in trained.table() for area in (*trained.auc.values(), *trained.single.values()))


def test_classes_drawn_by_lot_are_not_foretold(data):
    """A choice or a fit that saw the patients held out would foretell them."""
    table = read_tcga_laml(data)
    mixed = replace(table, fab=np.random.default_rng(0).permutation(table.fab))
    rows = fab_rows(mixed)
    found = nested_probabilities(rows, QUICK)
    assert found.shape == (72, 4)
    right = (np.unique(rows.labels)[found.argmax(axis=1)] == rows.labels).mean()
    assert right < 0.5


def test_every_patient_gets_probabilities_from_each_repeat(data):
    found = nested_probabilities(fab_rows(read_tcga_laml(data)), replace(QUICK, repeats=2))
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_the_model_on_disk_is_the_one_that_was_trained(trained, data):
    rows = fab_rows(read_tcga_laml(data))
    direct, chosen = fit_fab(rows, QUICK)
    loaded = load_fab(trained.folder, trained.digest)
    np.testing.assert_allclose(loaded.probabilities(rows.features), direct.probabilities(rows.features), rtol=1e-9)
    written = json.loads((trained.folder / f"{MODEL}.json").read_text())
    assert written["training"]["chosen"] == chosen
    assert written["figures"]["auc"]["M3"]["auc"] == round(trained.auc["M3"].value, 4)


def test_training_twice_gives_the_same_model(trained, data, tmp_path):
    assert train_fab(data, tmp_path, QUICK).digest == trained.digest


def test_a_missing_count_of_blasts_is_taken_for_the_median(trained, data):
    table = read_tcga_laml(data)
    unknown = fab_features(table.percents[:1], np.array([np.nan]))
    assert unknown.shape == (1, len(FEATURES))
    assert load_fab(trained.folder).probabilities(unknown).sum() == pytest.approx(1)


def test_a_model_of_other_features_is_refused(trained, tmp_path):
    for path in trained.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / f"{MODEL}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"features": ["age"]}))
    with pytest.raises(BundleError, match="not a FAB model"):
        load_fab(tmp_path)
