"""A night with a model that tells morphology: what analysts find besides the cells."""

import pytest

from marrow_models.bundle import shipped_bundles
from tests.end_to_end.nights import marrow, published, run_night, small_phantom
from tests.integration.attribute_bundle import VALUES, attribute_bundle

PATIENTLY = {"timeout_s": 900}
"""Beside a training on the same machine a night takes many times as long."""

pytestmark = [
    pytest.mark.nights,
    pytest.mark.skipif("phantom" not in shipped_bundles(), reason="no trained bundle is shipped"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """(inbox, home, bundle) of a night of one small slide with a bundle that tells attributes."""
    root = tmp_path_factory.mktemp("told")
    bundle = attribute_bundle(root / "phantom-attributes")
    small_phantom(root / "inbox", seed=5, patients=1)
    result = run_night(root / "inbox", root / "home", "--models", bundle.path, **PATIENTLY)
    assert (result["state"], result["done"]) == ("done", 1)
    return root / "inbox", root / "home", bundle


def test_every_cell_has_each_attribute(told):
    with published(told[1]) as database:
        cells = database.execute("SELECT slide_id, count(*) FROM cells GROUP BY ALL ORDER BY ALL").fetchall()
        morphology = database.execute(
            "SELECT slide_id, count(DISTINCT cell_id), count(*), min(confidence) > 0, max(confidence) <= 1 "
            "FROM cell_attributes GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        values = database.execute("SELECT DISTINCT attribute, value FROM cell_attributes").fetchall()
    assert len(cells) == 1
    assert morphology == [(slide, count, count * len(VALUES), True, True) for slide, count in cells]
    assert set(values) <= {(name, value) for name, names in VALUES.items() for value in names}


def test_morphology_passed_its_gate_and_adds_up(told):
    with published(told[1]) as database:
        gates = database.execute("SELECT gate, bool_and(success) FROM validations GROUP BY ALL ORDER BY ALL").fetchall()
        sums = database.execute(
            "SELECT sum(percent) FROM attribute_counts GROUP BY slide_id, cell_class, attribute"
        ).fetchall()
        patients = database.execute(
            "SELECT count(DISTINCT patient_id) FROM attribute_counts SEMI JOIN slides USING (slide_id, patient_id)"
        ).fetchone()
    assert gates == [("attributes", True), ("cells", True), ("manifest", True), ("night", True)]
    assert [total for (total,) in sums] == pytest.approx([100.0] * len(sums))
    assert patients == (1,)


def test_the_same_night_again_changes_no_row_and_a_model_without_attributes_takes_over(told):
    inbox, home, bundle = told

    def rows():
        with published(home) as database:
            return database.execute("FROM cell_attributes ORDER BY ALL").fetchall()

    before = rows()
    run_night(inbox, home, "--models", bundle.path, **PATIENTLY)
    assert rows() == before
    run_night(inbox, home, **PATIENTLY)
    assert rows() == []
    run_night(inbox, home, "--models", bundle.path, **PATIENTLY)
    assert rows() == before
    assert marrow("check", "--home", home, **PATIENTLY).returncode == 0
