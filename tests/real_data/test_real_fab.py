"""The table of TCGA-LAML: what is read from it, and the figures that a model of it reaches."""

import numpy as np
import pytest

from marrow_models.datasets.tcga_laml import read_tcga_laml
from marrow_models.diagnosis.fab_differential import load_fab, train_fab
from tests.real_data.test_real_tables import TABLES, WITHIN

LAML = TABLES / "tcga_laml_marrow_differential.csv"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not TABLES.is_dir(), reason="the real tables are not beside the project"),
]

FAB = {"M3": 0.881, "M4": 0.667, "M5": 0.830, "M4 or M5": 0.811}
"""AUC in nested cross-validation."""


def test_nearly_every_differential_of_tcga_adds_up_and_the_others_are_scaled():
    table = read_tcga_laml(LAML)
    assert len(table.fab) == 198
    np.testing.assert_allclose(table.percents.sum(axis=1), 100)
    assert (np.abs(table.sums - 100) <= 1).mean() > 0.9


def test_the_differential_of_tcga_is_not_that_of_the_marrow_its_columns_are_named_after():
    assert "probably of blood" in read_tcga_laml(LAML).notes[-1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_fab_classes_reach_their_measured_figures(tmp_path):
    report = train_fab(LAML, tmp_path)
    assert {task: area.value for task, area in report.auc.items()} == pytest.approx(FAB, abs=2 * WITHIN)
    assert load_fab(tmp_path, report.digest).classes == ("m3", "m4", "m5", "other")
