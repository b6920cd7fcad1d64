import numpy as np
import pytest

from marrow_models.datasets.tcga_laml import CELLS, FAB, OTHER_BLASTS, PATIENT, read_tcga_laml
from marrow_models.errors import UserError

from .tables import fab_row, fab_table, write_csv


@pytest.fixture
def rows():
    return fab_table(per_class=2)


def read(tmp_path, rows):
    return read_tcga_laml(write_csv(tmp_path / "laml.csv", rows))


def test_the_patients_are_read_with_their_fab_class(tmp_path, rows):
    table = read(tmp_path, rows)
    assert table.percents.shape == (12, len(CELLS))
    assert table.fab.tolist() == ["m0", "m1", "m2", "m3", "m4", "m5"] * 2
    assert table.patients[0] == "tcga-ab-1000"


@pytest.mark.parametrize("total", [16, 60, 92, 105, 120])
def test_a_differential_that_adds_up_to_something_else_is_scaled_to_100_percent(tmp_path, rows, total):
    row = fab_row(np.random.default_rng(3), "tcga-ab-9999", "m3", total)
    table = read(tmp_path, [*rows, row])
    assert table.sums[-1] == pytest.approx(total, abs=0.1)
    np.testing.assert_allclose(table.percents.sum(axis=1), 100)
    share = float(row[CELLS["promyelocyte"]]) / total
    assert table.percents[-1, list(CELLS).index("promyelocyte")] == pytest.approx(100 * share, rel=0.01)
    assert "1 differential(s) not adding up to 100 % scaled to it" in " ".join(table.notes)


@pytest.mark.parametrize("total", [5, 160])
def test_a_sum_that_is_no_differential_is_left_out_with_a_note(tmp_path, rows, total):
    row = fab_row(np.random.default_rng(3), "tcga-ab-9999", "m3", total)
    table = read(tmp_path, [*rows, row])
    assert "tcga-ab-9999" not in table.patients.tolist()
    assert "adding up to less than 15 or more than 125 % left out" in " ".join(table.notes)


def test_a_patient_without_a_class_is_left_out_with_a_note(tmp_path, rows):
    rows[0][FAB] = "not classified"
    table = read(tmp_path, rows)
    assert "tcga-ab-1000" not in table.patients.tolist()
    assert "laml.csv: 1 patient(s) without a FAB class left out." in table.notes


def test_an_empty_percentage_is_no_cell_and_an_empty_count_of_blasts_is_missing(tmp_path, rows):
    rows[0][CELLS["abnormal_lymphocyte"]] = ""
    rows[1][OTHER_BLASTS] = ""
    table = read(tmp_path, rows)
    assert table.percents[0, list(CELLS).index("abnormal_lymphocyte")] == 0
    assert np.flatnonzero(np.isnan(table.other_blasts)).tolist() == [1]


def test_blasts_that_disagree_with_the_other_count_put_the_specimen_in_doubt(tmp_path, rows):
    assert not any("two specimens" in note for note in read(tmp_path, rows).notes)
    for row in rows:
        row[OTHER_BLASTS] = "90"
    assert "two specimens, the differential probably of blood and not of marrow" in read(tmp_path, rows).notes[-1]


@pytest.mark.parametrize("column", [PATIENT, FAB, OTHER_BLASTS, CELLS["monocyte"]])
def test_a_missing_column_is_named(tmp_path, rows, column):
    for row in rows:
        del row[column]
    with pytest.raises(UserError, match=f"expected the column {column}, found"):
        read(tmp_path, rows)


@pytest.mark.parametrize("text", ["many", "-3", "101", "nan"])
def test_a_field_that_is_no_percentage_is_refused_by_column(tmp_path, rows, text):
    rows[3][CELLS["blast"]] = text
    with pytest.raises(UserError, match=f"{CELLS['blast']} holds '{text}', which is no percentage"):
        read(tmp_path, rows)


def test_a_class_that_is_none_is_refused(tmp_path, rows):
    rows[0][FAB] = "m9"
    with pytest.raises(UserError, match="not 'm9'"):
        read(tmp_path, rows)


def test_a_patient_who_is_there_twice_is_refused(tmp_path, rows):
    with pytest.raises(UserError, match="a patient is there twice"):
        read(tmp_path, [*rows, rows[0]])


def test_a_missing_file_and_one_without_patients_are_refused(tmp_path, rows):
    with pytest.raises(UserError, match=r"none\.csv: cannot be read"):
        read_tcga_laml(tmp_path / "none.csv")
    with pytest.raises(UserError, match="expected a row a patient"):
        read_tcga_laml(write_csv(tmp_path / "laml.csv", [], columns=list(rows[0])))
