"""F33-F40: whatever is wrong with manifest.csv costs a row, a slide or the night; nothing is ever guessed or run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from marrow_models.errors import Reason, UserError
from marrow_models.records import ManifestRow
from tasks.discover import discover_slides
from tasks.night import Night, Slide
from tasks.pseudonym import load_pseudonyms
from tests.unit.operating.nights import begun
from warehouse.ledger import State, reconcile, states
from warehouse.manifest import read_manifest
from warehouse.read import slide_states
from warehouse.validate import Gates

INJECTIONS = [
    "x'); DROP TABLE dim_slide;--",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(A1)",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "${jndi:ldap://x}",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    for name in "abcd":
        (tmp_path / "inbox" / f"{name}.tif").write_bytes(b"II*\0 slide " + name.encode())
    return tmp_path


def write(root: Path, content: str | bytes) -> Path:
    path = root / "inbox" / "manifest.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def discovered(night: Night) -> list[Slide]:
    """The slides a night would take through, without the engine around it."""
    found: list[Slide] = discover_slides.__wrapped__(night, read_manifest(night.plan.inbox / "manifest.csv"))
    return found


def outcomes(root: Path, content: str | bytes) -> dict[str, Reason | None]:
    """What becomes of a.tif ... d.tif with this manifest, by name; also that every entry is accounted for."""
    write(root, content)
    with begun(root, "n1") as night:
        taken = {slide.path.name for slide in discovered(night)}
        for slide_id in [*night.entered]:
            if states(night.warehouse, "n1")[slide_id].state is State.DISCOVERED:
                night.enter(slide_id, State.DONE)
        reconcile(night.warehouse, "n1", discovered=len(night.entered))
        reasons = [event.reason for event in states(night.warehouse, "n1").values() if event.reason]
    return dict.fromkeys(sorted(taken)) | {str(reason): reason for reason in reasons}


def test_f33_a_mark_at_the_start_of_the_file_is_no_part_of_the_first_heading(root: Path) -> None:
    assert outcomes(root, b"\xef\xbb\xbffile,patient_id\na.tif,P1\nb.tif,P1\nc.tif,P2\nd.tif,P3\n") == dict.fromkeys(
        ["a.tif", "b.tif", "c.tif", "d.tif"]
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("file,patient_id\na.tif,Ünal\n".encode("utf-16"), 1),
        ("file,patient_id\na.tif,P1\nb.tif,Ünal\n".encode("latin-1"), 3),
        (b"file,patient_id\na.tif,P1\nb.tif,P\0002\n", 3),
    ],
    ids=["F34 UTF-16", "F34 Latin-1", "F35 NUL"],
)
def test_f34_f35_a_file_that_is_no_text_is_refused_whole_with_its_line_and_nothing_is_entered(
    root: Path, content: bytes, line: int
) -> None:
    write(root, content)
    with begun(root, "n1") as night:
        with pytest.raises(UserError, match=f"line {line}"):
            discovered(night)
        assert slide_states(night.warehouse) == []
        assert night.warehouse.count("dim_patient") == 0


def test_f36_semicolons_are_read_and_ids_stay_text(root: Path) -> None:
    write(root, "file;patient_id;um_per_px\na.tif;0012;0,25\nb.tif;12;0,25\nc.tif;1e5;0,25\nd.tif;100000;0,25\n")
    with begun(root, "n1") as night:
        slides = discovered(night)
        patients = {row.patient_id for row in slide_states(night.warehouse)}
        assert patients == {night.pseudonyms.patient(identity) for identity in ("0012", "12", "1e5", "100000")}
        assert {slide.um_per_px for slide in slides} == {0.25}
        for slide in slides:
            night.enter(slide.slide_id, State.DONE)


def test_f37_a_slide_nobody_listed_and_a_row_without_a_slide_are_deferred_and_reported(root: Path) -> None:
    found = outcomes(root, "file,patient_id\na.tif,P1\nb.tif,P1\nc.tif,P1\nghost.svs,P9\n")
    assert found == dict.fromkeys(["a.tif", "b.tif", "c.tif"]) | {
        "UNLISTED": Reason.UNLISTED,
        "FILE_MISSING": Reason.FILE_MISSING,
    }


@pytest.mark.parametrize("bad", ["b.tif,", "b.tif,P2\nb.tif,P3", "b.tif,P2,61\nb.tif,P2,62", "b.tif,P2,200"])
def test_f38_f40_a_row_that_cannot_be_costs_its_slide_and_the_others_go_on(root: Path, bad: str) -> None:
    found = outcomes(root, f"file,patient_id,age_years\na.tif,P1\n{bad}\nc.tif,P1\nd.tif,P1\nd.tif,P1\n")
    assert found == dict.fromkeys(["a.tif", "c.tif", "d.tif"]) | {"MANIFEST_CONFLICT": Reason.MANIFEST_CONFLICT}


def test_f39_injected_text_is_an_id_like_any_other_and_reaches_no_table(root: Path) -> None:
    out = io.StringIO()
    rows = [("file", "patient_id", "specimen", "stain"), *((f"{i}.tif", t, "", t) for i, t in enumerate(INJECTIONS))]
    csv.writer(out).writerows(rows)
    for i, _ in enumerate(INJECTIONS):
        (root / "inbox" / f"{i}.tif").write_bytes(b"II*\0 slide %d" % i)
    manifest = read_manifest(write(root, out.getvalue()))
    assert [row.patient_id for row in manifest.rows] == INJECTIONS  # verbatim, until they are hashed
    with begun(root, "n1") as night:
        slides = discovered(night)
        patients = {row.patient_id for row in slide_states(night.warehouse)} - {None}
        assert patients == {night.pseudonyms.patient(text) for text in INJECTIONS}
        with night.warehouse.exclusive() as connection:
            tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
            stored = repr([connection.table(name).fetchall() for name in tables])
        assert {"dim_slide", "dim_patient"} <= set(tables)
        assert not [text for text in INJECTIONS if text in stored]
        for slide in slides:
            night.enter(slide.slide_id, State.DONE)


def test_f39_a_cell_of_a_megabyte_costs_its_slide(root: Path) -> None:
    found = outcomes(root, f"file,patient_id\na.tif,{'x' * 2**20}\nb.tif,P1\nc.tif,P1\nd.tif,P1\n")
    assert found == dict.fromkeys(["b.tif", "c.tif", "d.tif"]) | {"MANIFEST_CONFLICT": Reason.MANIFEST_CONFLICT}


@pytest.mark.parametrize(
    "column",
    ["birth_date,2026-02-30", "biopsy_date,2999-01-01", "diagnosis,no such code", "icd10,Z99.9", "wbc,2026-02-30"],
)
def test_f40_what_is_no_number_of_a_laboratory_is_never_stored(root: Path, column: str) -> None:
    heading, _, cell = column.partition(",")
    manifest = read_manifest(write(root, f"file,patient_id,{heading}\na.tif,P1,{cell}\n"))
    assert manifest.rows == (ManifestRow("a.tif", "P1"),)
    assert "is not taken" in manifest.warnings[0]
    assert cell not in manifest.warnings[0]


@pytest.mark.parametrize(
    "row",
    [
        "a.tif,P1,,urine,",
        "a.tif,P1,,,yes",
        "a.tif,P1,-1,,",
        "a.tif,P1,131,,",
        "a.tif,P1,sixty,,",
        "a.tif,P1,2999-01-01,,",
    ],
)
def test_f40_a_code_or_age_that_is_on_no_list_costs_its_row(root: Path, row: str) -> None:
    manifest = read_manifest(write(root, f"file,patient_id,age_years,specimen,sex\n{row}\nb.tif,P2,61,bm,f\n"))
    assert [taken.file for taken in manifest.rows] == ["b.tif"]
    assert [refused.file for refused in manifest.refused] == ["a.tif"]


@pytest.mark.slow
def test_f40_the_gate_stops_a_manifest_whose_values_no_reader_would_let_through(tmp_path: Path) -> None:
    """The second line of defence: the suite itself, on a frame that did not come from our reader."""
    from warehouse.frames import manifest_frame
    from warehouse.manifest import Manifest

    text = load_pseudonyms(tmp_path / "key").text
    gates = Gates(tmp_path / "validation")
    good = ManifestRow("a.svs", "P1", age_years=61.0)
    for row, column in [
        (ManifestRow("b.svs", "P2", age_years=200.0), "age_years"),
        (ManifestRow("b.svs", "P2", specimen="urine"), "specimen"),
        (ManifestRow("b.svs", "P2", sex="yes"), "sex"),
        (ManifestRow("b.svs", "P2", um_per_px=0.0), "um_per_px"),
        (good, "file"),
    ]:
        result = gates.validate("manifest", manifest_frame(Manifest((good, row), (), ()), text), run_id="n1")
        assert not result.success
        assert column in result.detail
        assert "P2" not in result.detail
