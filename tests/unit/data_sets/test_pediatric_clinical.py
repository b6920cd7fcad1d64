"""The clinical table of the paediatric set, as a table and as the DICOM headers hold it."""

from pathlib import Path

import pytest

from marrow_models.datasets.clinical import age_in_years, is_clinical, read_clinical
from marrow_models.datasets.pediatric import clinical_table
from marrow_models.errors import UserError
from tests.layouts.marrow_pediatric import WrittenCell, marked_slide, write_clinical, write_dicom_slide

HEADER = "patient_id;age;gender;leukemia_type;leukemia_subtype;ncit_concept_code;wbc;hb;remark"
ONE, TWO = "A" * 32, "B" * 32


@pytest.fixture
def table(tmp_path) -> Path:
    return tmp_path / "clinical.csv"


def write(table: Path, *rows: str, header: str = HEADER) -> Path:
    table.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return table


def test_a_row_is_a_patient_with_the_laboratory_values_that_are_filled(table):
    write(table, f"{TWO};012Y;F;AML;NPM1;C82433;12,5;9.1;pale", f"{ONE};006M;M;ALL;;;;;")
    first, second = read_clinical(table)
    assert (first.patient, first.age_years, first.leukemia_subtype, first.values) == (ONE, 0.5, "", {})
    assert (second.sex, second.leukemia_type, second.ncit_code) == ("F", "AML", "C82433")
    assert second.values == {"wbc": "12,5", "hb": "9.1", "remark": "pale"}
    assert second.laboratory == {"wbc": 12.5, "hb": 9.1}


@pytest.mark.parametrize(
    ("text", "years"),
    [("012Y", 12.0), ("006M", 0.5), ("026W", 0.498), ("000D", 0.0), ("7,5", 7.5), ("3", 3.0), (" ", None)],
)
def test_ages_are_read_as_dicom_and_as_tables_write_them(text, years):
    assert age_in_years(text) == (None if years is None else pytest.approx(years, abs=1e-3))


@pytest.mark.parametrize("text", ["12Y", "old", "-1", "200", "nan"])
def test_an_age_that_cannot_be_is_refused_by_line_without_the_patient(table, text):
    write(table, f"{ONE};3;M;ALL;;;;;", f"{TWO};{text};M;ALL;;;;;")
    with pytest.raises(UserError, match="line 3") as caught:
        read_clinical(table)
    assert TWO not in str(caught.value)


def test_two_rows_of_a_patient_are_refused_without_naming_the_patient(table):
    write(table, *[f"{ONE};3;M;ALL;;;;;"] * 2)
    with pytest.raises(UserError, match=r"clinical\.csv") as caught:
        read_clinical(table)
    assert ONE not in str(caught.value)


def test_a_row_without_a_patient_is_refused(table):
    with pytest.raises(UserError, match="line 2"):
        read_clinical(write(table, ";3;M;ALL;;;;;"))


def test_a_table_with_other_columns_is_refused_with_those_that_it_lacks(table):
    with pytest.raises(UserError, match="gender"):
        read_clinical(write(table, f"{ONE};3;ALL", header="patient_id;age;leukemia_type"))


def test_a_table_that_is_not_text_is_refused(table):
    table.write_bytes(HEADER.encode() + b"\n\xe4;3;M;ALL;;;;;\n")
    with pytest.raises(UserError, match="UTF-8"):
        read_clinical(table)


def test_a_byte_order_mark_does_not_hide_the_first_column(table):
    table.write_text("\ufeff" + HEADER + f"\n{ONE};3;M;ALL;;;;;\n", "utf-8")
    assert is_clinical(table)
    assert read_clinical(table)[0].patient == ONE


def test_the_table_is_found_in_the_folder_among_others(tmp_path):
    slide = marked_slide([WrittenCell(1, 7, (200, 200, 240, 240))])
    (tmp_path / "rois.csv").write_text("roi_id,slide_id,x1,y1,x2,y2\n")
    write_clinical(tmp_path / "clinical.csv", [slide])
    (record,) = clinical_table(tmp_path)
    assert record == clinical_table(tmp_path / "clinical.csv")[0]
    assert (record.patient, record.age_years, record.laboratory) == (slide.patient, 12.0, {"wbc": 12.5})


def test_two_tables_in_a_folder_are_refused(tmp_path):
    for name in ("a.csv", "b.csv"):
        write(tmp_path / name)
    with pytest.raises(UserError, match=r"a\.csv and b\.csv"):
        clinical_table(tmp_path)


def test_without_a_table_the_headers_of_the_slides_are_asked(tmp_path):
    slide = marked_slide([WrittenCell(1, 7, (200, 200, 240, 240))])
    write_dicom_slide(tmp_path / "SM", slide)
    (record,) = clinical_table(tmp_path)
    assert (record.patient, record.age_years, record.sex) == (slide.patient, 12.0, "F")
    assert (record.leukemia_type, record.leukemia_subtype, record.ncit_code) == ("ALL", "B-ALL", "C8644")


def test_a_folder_with_neither_table_nor_slides_is_refused(tmp_path):
    with pytest.raises(UserError, match="neither"):
        clinical_table(tmp_path)
