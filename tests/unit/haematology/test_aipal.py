import numpy as np
import pytest

from marrow_models.datasets.aipal import read_aipal, read_laboratory_table
from marrow_models.diagnosis.laboratory_values import LABORATORY_VALUES, NAMES, check_values, column
from marrow_models.errors import UserError

from .tables import laboratory_rows, write_csv, write_hospitals


@pytest.fixture
def rows():
    return laboratory_rows(np.random.default_rng(0), per_response=20)


def read(tmp_path, rows, **more):
    return read_laboratory_table(write_csv(tmp_path / "aipal_east.csv", rows), labelled=True, **more)


# --- layout ------------------------------------------------------------------------------------------------


def test_the_patients_of_all_hospitals_are_read_with_response_and_hospital(tmp_path):
    table = read_aipal(write_hospitals(tmp_path))
    assert table.values.shape == (3 * 3 * 14, len(NAMES))
    assert {name: int((table.hospitals == name).sum()) for name in ("north", "south", "west")} == dict.fromkeys(
        ("north", "south", "west"), 42
    )
    assert set(table.responses.tolist()) == {"ALL", "AML", "APL"}
    assert table.notes == ()


def test_one_file_can_be_read_alone(tmp_path):
    folder = write_hospitals(tmp_path)
    assert set(read_aipal(folder / "aipal_south.csv").hospitals.tolist()) == {"south"}


def test_a_folder_without_such_a_file_says_what_was_expected(tmp_path):
    with pytest.raises(UserError, match=r"expected aipal_HOSPITAL.csv"):
        read_aipal(tmp_path)


def test_an_empty_field_is_missing(tmp_path, rows):
    rows[3]["LDH_UI_L"], rows[4]["LDH_UI_L"] = "", "NA"
    ldh = column(read(tmp_path, rows).values, "LDH_UI_L")
    assert np.flatnonzero(np.isnan(ldh)).tolist() == [3, 4]


def test_columns_may_be_in_any_order(tmp_path, rows):
    usual = read(tmp_path, rows).values
    turned = [dict(reversed(row.items())) for row in rows]
    np.testing.assert_array_equal(read(tmp_path, turned).values, usual)


def test_a_missing_column_is_missing_values_with_a_note(tmp_path, rows):
    for row in rows:
        del row["Fibrinogen_g_L"]
    table = read(tmp_path, rows)
    assert np.isnan(column(table.values, "Fibrinogen_g_L")).all()
    assert table.notes == ("aipal_east.csv: no column Fibrinogen_g_L; taken for missing.",)


def test_a_wrong_column_name_is_refused_with_the_name_that_was_meant(tmp_path, rows):
    renamed = [{("WBC" if k == "WBC_G_L" else k): v for k, v in row.items()} for row in rows]
    with pytest.raises(UserError, match=r"no laboratory value is called 'WBC' \(perhaps WBC_G_L\)"):
        read(tmp_path, renamed)


def test_a_table_without_responses_is_read_for_prediction_and_refused_for_training(tmp_path, rows):
    for row in rows:
        del row["Response"]
    path = write_csv(tmp_path / "new.csv", rows)
    assert set(read_laboratory_table(path).responses.tolist()) == {""}
    with pytest.raises(UserError, match=r"new.csv: expected the column Response"):
        read_laboratory_table(path, labelled=True)


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("WBC_G_L", "3,4", "row 2: WBC_G_L: '3,4' is no number"),
        ("WBC_G_L", "inf", "row 2: WBC_G_L: inf is no value"),
        ("Response", "CML", "row 2: Response must be ALL, AML, APL, not 'CML'"),
    ],
)
def test_a_field_that_is_none_is_named_with_its_row(tmp_path, rows, field, text, message):
    rows[0][field] = text
    with pytest.raises(UserError, match=message):
        read(tmp_path, rows)


def test_a_row_of_another_length_is_refused(tmp_path):
    path = tmp_path / "aipal_east.csv"
    path.write_text("Response,age,WBC_G_L\nAML,50,3,4\n")
    with pytest.raises(UserError, match="row 2: 4 fields for 3 columns"):
        read_aipal(path)


@pytest.mark.parametrize("content", [b"", b"Response,age\n", b"\xff\xfe\x00", b"age,age\n1,2\n"])
def test_what_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "aipal_east.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"aipal_east.csv"):
        read_aipal(path)


# --- defects -----------------------------------------------------------------------------------------------


def test_a_patient_who_is_there_twice_is_kept_once(tmp_path, rows):
    path = write_csv(tmp_path / "aipal_east.csv", [*rows, rows[7]])
    table = read_aipal(path)
    assert len(table.values) == len(rows)
    assert table.notes == ("aipal_east.csv: 1 patient(s) there twice, kept once.",)


def test_two_patients_with_hardly_a_value_are_two_patients(tmp_path, rows):
    empty = dict.fromkeys(rows[0], "") | {"Response": "AML", "age": "50"}
    table = read_aipal(write_csv(tmp_path / "aipal_east.csv", [*rows, empty, empty]))
    assert len(table.values) == len(rows) + 2


def test_the_same_values_with_another_response_are_not_the_same_patient(tmp_path, rows):
    other = rows[0] | {"Response": "APL"}
    assert len(read_aipal(write_csv(tmp_path / "aipal_east.csv", [*rows, other])).values) == len(rows) + 1


def test_a_value_that_no_patient_has_is_set_to_missing_with_a_note(tmp_path, rows):
    rows[5]["MCV_fL"] = "18.6"
    table = read(tmp_path, rows)
    assert np.isnan(column(table.values, "MCV_fL")[5])
    assert table.notes == ("aipal_east.csv: MCV_fL: 1 value(s) outside of 50 to 150 fL set to missing.",)


def test_a_count_above_all_leucocytes_is_set_to_missing_with_its_percentage(tmp_path, rows):
    rows[2]["Lymphocytes_G_L"] = str(3 * float(rows[2]["WBC_G_L"]))
    table = read(tmp_path, rows)
    assert np.isnan(column(table.values, "Lymphocytes_G_L")[2])
    assert np.isnan(column(table.values, "Lymphocytes_percent")[2])
    assert "Lymphocytes_G_L: 1 count(s) above all leucocytes" in table.notes[0]


# --- units -------------------------------------------------------------------------------------------------

OTHER_UNITS = [(value.name, unit, factor) for value in LABORATORY_VALUES for unit, factor in value.other_units.items()]


def in_unit(rows, name, factor):
    return [row | {name: repr(float(row[name]) / factor)} for row in rows]


@pytest.mark.parametrize(("name", "unit", "factor"), OTHER_UNITS)
def test_a_column_in_another_unit_is_converted_when_the_unit_is_named(tmp_path, rows, name, unit, factor):
    usual = read(tmp_path, rows).values
    converted = read(tmp_path, in_unit(rows, name, factor), units={name: unit}).values
    np.testing.assert_allclose(converted, usual)


@pytest.mark.parametrize(
    ("name", "unit", "factor"),
    [case for case in OTHER_UNITS if case[1] != "umol/L"],  # 10 umol/L of fibrinogen could be 10 g/L
)
def test_a_column_in_another_unit_is_never_taken_as_it_is(tmp_path, rows, name, unit, factor):
    with pytest.raises(UserError, match="unit"):
        read(tmp_path, in_unit(rows, name, factor))


def test_the_unit_that_would_fit_is_suggested(tmp_path, rows):
    with pytest.raises(UserError, match=r"MCHC_g_L holds 60 of 60 values outside of 200 to 420 g/L.*look like g/dL"):
        read(tmp_path, in_unit(rows, "MCHC_g_L", 10))


def test_fractions_in_a_column_of_percentages_are_noticed_by_the_absolute_counts(tmp_path, rows):
    with pytest.raises(UserError, match=r"ANC_percent is 0.01 times what ANC_G_L and WBC_G_L make it"):
        read(tmp_path, in_unit(rows, "ANC_percent", 100))


def test_units_of_hospitals_may_differ(tmp_path):
    folder = write_hospitals(tmp_path)
    usual = read_aipal(folder)
    rows = laboratory_rows(np.random.default_rng(6))  # as those of south
    write_csv(folder / "aipal_south.csv", in_unit(rows, "MCHC_g_L", 10))
    again = read_aipal(folder, units={"south": {"MCHC_g_L": "g/dL"}})
    np.testing.assert_allclose(again.values, usual.values)


def test_units_of_a_hospital_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(UserError, match="units are given for paris"):
        read_aipal(write_hospitals(tmp_path), units={"paris": {}})


def test_a_unit_that_is_not_known_is_refused(tmp_path, rows):
    with pytest.raises(UserError, match="MCV_fL cannot be given in 'pints'; known units are fL"):
        read(tmp_path, rows, units={"MCV_fL": "pints"})


def test_no_values_at_all_are_refused():
    with pytest.raises(UserError, match="holds none of the laboratory values"):
        check_values({}, "x.csv")


def test_a_single_patient_with_an_impossible_value_is_refused_and_not_emptied():
    with pytest.raises(UserError, match="PT_percent holds 1 of 1 values"):
        check_values({"PT_percent": np.array([1.1])}, "x.csv")
