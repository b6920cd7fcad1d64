"""manifest.csv is read strictly, and a bad row costs its own slide only."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marrow_models.errors import UserError
from marrow_models.records import ManifestRow
from warehouse.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def read(tmp_path: Path):
    """Read a manifest with these bytes."""

    def read_content(content: str | bytes) -> Manifest:
        path = tmp_path / "manifest.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_manifest(path)

    return read_content


def test_the_least_manifest(read) -> None:
    manifest = read("file,patient_id\na.svs,p1\n")
    assert manifest == Manifest((ManifestRow("a.svs", "p1"),), (), ())
    assert manifest.row_of("a.svs") == ManifestRow("a.svs", "p1")
    assert manifest.row_of("b.svs") is None


def test_a_full_row(read) -> None:
    head = "file,patient_id,specimen,stain,age_years,sex,um_per_px,Hb (g/dl)"
    (row,) = read(f"{head}\na.svs,p1,blood,MGG,61,F,0.25,8.1\n").rows
    assert row == ManifestRow("a.svs", "p1", "blood", "may_gruenwald_giemsa", 61.0, "female", 0.25, (("hb_g_dl", 8.1),))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_delimiters_and_line_ends_do_not_matter(read, delimiter: str, mark: bytes, end: str) -> None:
    text = end.join(("file,patient_id,age_years", "a.svs,p1,61", "", "b.svs,p2,", "")).replace(",", delimiter)
    assert read(mark + text.encode()).rows == (ManifestRow("a.svs", "p1", age_years=61.0), ManifestRow("b.svs", "p2"))


@pytest.mark.parametrize(
    "identity",
    [
        "0012",
        "1e5",
        "00:1",
        "12345678901234567890",
        "x'); DROP TABLE dim_slide;--",
        "=cmd|' /C calc'!A0",
        "<script>",
        "{{7*7}}",
        "Ünal, Öz",
        "line\u2028separator",
    ],
)
def test_ids_stay_text_as_they_are(read, identity: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([("file", "patient_id"), ("a.svs", identity)])
    assert read(out.getvalue()).rows == (ManifestRow("a.svs", identity),)


def test_a_heading_may_be_upper_case_and_spaced(read) -> None:
    assert read(" File , PATIENT_ID \n a.svs , p1 \n").rows == (ManifestRow("a.svs", "p1"),)


@pytest.mark.parametrize(
    ("cell", "um"), [("0.25", 0.25), ('"0,25"', 0.25), ("2.5e-1", 0.25), ("", None), ("n/a", None)]
)
def test_numbers_are_read_as_laboratories_write_them(read, cell: str, um: float | None) -> None:
    (row,) = read(f"file,patient_id,um_per_px\na.svs,p1,{cell}\n").rows
    assert row.um_per_px == um


def test_a_decimal_comma_needs_no_quotes_between_semicolons(read) -> None:
    assert read("file;patient_id;um_per_px\na.svs;p1;0,25\n").rows[0].um_per_px == 0.25


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("patient_id", ""),
        ("patient_id", "   "),
        ("patient_id", "x" * 2000),
        ("patient_id", "a\x07b"),
        ("age_years", "200"),
        ("age_years", "-1"),
        ("age_years", "sixty"),
        ("age_years", "1_0"),
        ("age_years", "inf"),
        ("um_per_px", "0"),
        ("um_per_px", "-0.25"),
        ("um_per_px", "1e9"),
        ("um_per_px", "1e999"),
        ("um_per_px", "1.234,5"),
        ("sex", "yes"),
        ("specimen", "urine"),
    ],
)
def test_a_value_that_cannot_be_costs_its_row_only(read, column: str, cell: str) -> None:
    values = {"file": "bad.svs", "patient_id": "p1"} | {column: cell}
    out = io.StringIO()
    writer = csv.DictWriter(out, ["file", "patient_id", "specimen", "sex", "age_years", "um_per_px"])
    writer.writeheader()
    writer.writerows([{"file": "good.svs", "patient_id": "p2"}, values])
    manifest = read(out.getvalue())
    assert [row.file for row in manifest.rows] == ["good.svs"]
    ((refused),) = manifest.refused
    assert (refused.line, refused.column, refused.file) == (3, column, "bad.svs")
    assert list(manifest.refused_files) == ["bad.svs"]


@pytest.mark.parametrize("name", ["", "../x.svs", "a/../../x.svs", "/etc/passwd", "C:\\slides\\x.svs", "a\nb.svs"])
def test_a_file_outside_of_the_inbox_is_refused(read, name: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([("file", "patient_id"), (name, "p1"), ("good.svs", "p2")])
    manifest = read(out.getvalue())
    assert [row.file for row in manifest.rows] == ["good.svs"]
    assert [(r.line, r.column, r.file) for r in manifest.refused] == [(2, "file", None)]


def test_folders_are_written_either_way(read) -> None:
    manifest = read("file,patient_id\nnight\\a.svs,p1\n./b.svs,p2\n")
    assert [row.file for row in manifest.rows] == ["night/a.svs", "b.svs"]


def test_composed_and_decomposed_names_are_the_same(read) -> None:
    manifest = read("file,patient_id\nMu\u0308ller.svs,p1\n")
    assert manifest.row_of("M\u00fcller.svs") == manifest.row_of("Mu\u0308ller.svs") == manifest.rows[0]


def test_two_patients_for_a_file_cost_that_file_only(read) -> None:
    manifest = read("file,patient_id\na.svs,p1\nb.svs,p2\na.svs,p3\n")
    assert [row.file for row in manifest.rows] == ["b.svs"]
    assert [(r.line, r.cause) for r in manifest.refused] == [
        (2, "the file is given two patients"),
        (4, "the file is given two patients"),
    ]


def test_a_row_said_twice_is_one_row(read) -> None:
    manifest = read("file,patient_id\na.svs,p1\na.svs,p1\n")
    assert manifest.rows == (ManifestRow("a.svs", "p1"),)
    assert manifest.refused == ()
    assert manifest.warnings == ("line 3: says the same again",)


@pytest.mark.parametrize("second", ["a.svs,p1,62", "a.svs,p1,620", "a.svs,,61"])
def test_a_file_on_which_the_manifest_disagrees_is_not_taken(read, second: str) -> None:
    manifest = read(f"file,patient_id,age_years\na.svs,p1,61\n{second}\n")
    assert manifest.rows == ()
    assert {r.file for r in manifest.refused} == {"a.svs"}


def test_columns_of_numbers_become_laboratory_values(read) -> None:
    manifest = read("file,patient_id,WBC,Hb,remark\na.svs,p1,3.2,,smear is thick\nb.svs,p2,4,9.5,\n")
    assert [row.laboratory for row in manifest.rows] == [(("wbc", 3.2),), (("wbc", 4.0), ("hb", 9.5))]
    assert manifest.warnings == ("column 5 is not taken: line 2 holds no number",)


@pytest.mark.parametrize(
    "heading", ["MRN", "case_number", "Phone", "birth year", "accession", "zip", "date", "123", "*", "血"]
)
def test_numbers_that_may_identify_someone_are_not_taken(read, heading: str) -> None:
    manifest = read(f"file,patient_id,{heading}\na.svs,p1,4711\n")
    assert manifest.rows == (ManifestRow("a.svs", "p1"),)
    assert manifest.warnings == ("column 3 is not taken: its heading is not that of a laboratory value",)


def test_an_unknown_stain_is_other_and_its_text_goes_nowhere(read) -> None:
    manifest = read("file,patient_id,stain\na.svs,p1,as Dr CANARY does it\n")
    assert manifest.rows[0].stain == "other"
    assert "CANARY" not in "".join(manifest.warnings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,patient_id\na.svs,p1\n".encode("utf-16"), "line 1: the file is UTF-16"),
        (b"file,patient_id\na.svs,p1\nb.svs,M\xfcller\n", "line 3: not UTF-8"),
        (b"file,patient_id\na.svs,p\x001\n", "line 2: a NUL byte"),
        ("file,patient_id\na.svs,p1\n".encode("utf-16-le"), "NUL byte"),
        ("file,name\na.svs,p1\n", "file and patient_id are required"),
        ("", "file and patient_id are required"),
        ("file,patient_id,age_years,age_years\n", "age_years is there twice"),
        ('file,patient_id\na.svs,"p1\n', "line 2"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_whole_naming_the_line(read, content, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(content)


def test_a_manifest_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.csv cannot be read: No such file"):
        read_manifest(tmp_path / "manifest.csv")


def test_an_unquoted_decimal_comma_is_noticed(read) -> None:
    manifest = read("file,patient_id,um_per_px\na.svs,p1,0,25\nb.svs,p2,0.25\n")
    assert [row.file for row in manifest.rows] == ["b.svs"]
    assert [(r.line, r.file) for r in manifest.refused] == [(2, "a.svs")]
    assert "decimal comma" in manifest.refused[0].cause


def test_a_short_row_lacks_its_last_cells(read) -> None:
    assert read("file,patient_id,age_years\na.svs,p1\n").rows == (ManifestRow("a.svs", "p1"),)


def test_a_cell_of_a_megabyte_costs_its_row_only(read) -> None:
    before = csv.field_size_limit()
    manifest = read(f"file,patient_id\na.svs,{'x' * 2**20}\nb.svs,p2\n")
    assert [row.file for row in manifest.rows] == ["b.svs"]
    assert csv.field_size_limit() == before


def test_a_quoted_line_end_does_not_shift_the_line_numbers(read) -> None:
    manifest = read('file,patient_id,remark\na.svs,p1,"two\nlines"\nb.svs,,\n')
    assert [r.line for r in manifest.refused] == [4]


def test_no_cause_and_no_warning_repeats_a_cell(read) -> None:
    manifest = read("file,patient_id,age_years,sex,um_per_px,x\nCANARY.svs,CANARY,CANARY,CANARY,CANARY,CANARY\n")
    said = [r.cause for r in manifest.refused] + list(manifest.warnings) + list(manifest.refused_files.values())
    assert said
    assert "CANARY" not in " ".join(said)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(read, content: bytes) -> None:
    try:
        manifest = read(b"file,patient_id,age_years,um_per_px\n" + content)
    except UserError:
        return
    assert all(row.file and row.patient_id for row in manifest.rows)
    assert len({row.file for row in manifest.rows}) == len(manifest.rows)


cell = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(lambda s: s == s.strip())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(cell, min_size=1, max_size=8), st.sampled_from(",;\t"))
def test_any_id_comes_back_as_it_was_written(read, ids: list[str], delimiter: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([("file", "patient_id"), *((f"{n}.svs", identity) for n, identity in enumerate(ids))])
    assert [row.patient_id for row in read(out.getvalue()).rows] == ids
