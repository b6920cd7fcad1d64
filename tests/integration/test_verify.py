"""The proof of a result: computed again it is the same bit for bit, and every row that was tampered with is named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.command_verify import verify_report
from marrow_models.bundle import SHIPPED, load_bundle
from marrow_models.diagnosis.model_files import load_model
from marrow_models.diagnosis.rules import load_rules
from marrow_models.errors import UserError
from marrow_models.model_settings import ANALYSIS_VERSION
from marrow_models.phantom.night import SlideScale, make_phantom
from marrow_models.pyramid.ingest import ingest_slide
from marrow_models.pyramid.manifest import read_manifest
from marrow_models.pyramid.store import Pyramid
from marrow_models.survey import survey
from marrow_models.taxonomy import load_taxonomy
from tasks.analyse import analyse_stored_fields
from tasks.home import Home
from tasks.night import config_digest, result_key
from tasks.suggestion import counts_to_judge, suggestion_for
from tests.unit.store_house.factories import START, run_record, walk
from warehouse.connection import open_warehouse
from warehouse.dimensions import store_model, store_patient
from warehouse.ledger import State, record
from warehouse.load import load_diagnosis, load_slide
from warehouse.publish import publish
from warehouse.read import pooled_counts
from warehouse.records import AnalysisRecord, FieldRecord, ModelRecord, PatientRecord, SlideRecord
from warehouse.runs import RunState, finish_run, start_run

RULES = ("icsh2008", "who5", "icc2022")


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HOME with a slide counted by the worker's function, loaded and judged: what a night leaves behind."""
    root = tmp_path_factory.mktemp("counted")
    scale = SlideScale(width_px=1536, height_px=1536, cells=(70, 80))
    make_phantom(root / "inbox", seed=5, patients=1, slides_per_patient=1, scale=scale)
    (slide,) = (root / "inbox").glob("*.svs")
    home, bundle, taxonomy = Home(root / "home").create(), load_bundle("phantom"), load_taxonomy("marrow49")
    store = home.store("s1")
    ingest_slide(slide, (slide,), store, um_per_px=None)
    um = read_manifest(store)["receipt"]["um_per_px"]
    fields = tuple(sorted(survey(Pyramid.open(store), bundle).fields, key=lambda field: field.field_id))
    cells = analyse_stored_fields(store, fields, bundle.path, bundle.digest, batch_size=7, tile_px=300).cells
    found = {f.field_id: int((cells.field_id == f.field_id).sum()) for f in fields}
    config = config_digest(ANALYSIS_VERSION, 0)
    key = result_key("s1", um, bundle.digest, config)
    area = sum(f.rect_px.width * f.rect_px.height for f in fields) * um**2
    with open_warehouse(home.warehouse) as warehouse:
        settings = {"target_cells": 0, "rule_sets": RULES, "model_digest": bundle.digest, "config_digest": config}
        start_run(warehouse, run_record("night-1", settings=settings))
        store_model(
            warehouse,
            ModelRecord(
                bundle.digest, bundle.name, bundle.version, bundle.detector_digest, bundle.classifier_digest,
                bundle.labels, taxonomy.name, taxonomy.version, taxonomy.digest, ModelRecord.classes_of(taxonomy),
            ),
        )  # fmt: skip
        store_patient(warehouse, PatientRecord("p1", 61.0))
        walk(warehouse, "s1", until=State.VALIDATED)
        load_slide(
            warehouse,
            SlideRecord("s1", "p1", START, specimen="bone_marrow", width_px=1536, height_px=1536, um_per_px=um),
            AnalysisRecord(
                key, "s1", bundle.digest, config, "night-1", len(cells), area, 1.0,
                tuple(FieldRecord(f, found[f.field_id]) for f in fields),
            ),
            cells,
        )  # fmt: skip
        record(warehouse, "night-1", "s1", State.LOADED)
        record(warehouse, "night-1", "s1", State.DONE)
        counts = counts_to_judge(pooled_counts(warehouse, "p1", bundle.digest))
        rules = [load_rules(name) for name in RULES]
        model = load_model(bundle.diagnosis_path)
        judged = suggestion_for(counts, 61.0, taxonomy, model, rules, run_id="night-1", model_digest=bundle.digest)
        load_diagnosis(warehouse, judged)
        finish_run(warehouse, "night-1", RunState.DONE)
        publish(warehouse, home.published)
    assert len(cells) > 50
    return home.root


@pytest.fixture
def home(counted: Path, tmp_path: Path) -> Path:
    shutil.copytree(counted, tmp_path / "home", symlinks=True)
    return tmp_path / "home"


def verify(home: Path, run: str = "night-1", models: tuple[str, ...] = ()) -> dict:
    return verify_report(home, run, list(models), progress=lambda _: None)


def tamper(home: Path, change: str) -> None:
    with open_warehouse(home / "warehouse" / "marrow.duckdb") as warehouse, warehouse.exclusive() as connection:
        connection.execute(change)


def files_of(home: Path) -> dict[str, bytes]:
    return {str(p.relative_to(home)): p.read_bytes() for p in home.rglob("*") if p.is_file() and p.suffix != ".lock"}


def test_a_run_computed_again_is_identical_bit_for_bit_and_nothing_is_written(counted: Path) -> None:
    before = files_of(counted)
    report = verify(counted, "latest")
    assert report["differences"] == []
    assert (report["identical"], report["results"], report["suggestions"]) == (True, 1, 1)
    assert report["cells"] > 50
    assert files_of(counted) == before


TAMPERED = {
    ("cell 3", "cell_class"): "UPDATE fact_cell SET cell_class = CASE cell_class WHEN 'lymphocyte' THEN 'blast' "
    "ELSE 'lymphocyte' END WHERE cell_id = 3",
    ("cell 4", "confidence"): "UPDATE fact_cell SET confidence = confidence * 0.999 WHERE cell_id = 4",
    ("cell 5", "moved"): "UPDATE fact_cell SET x_um = x_um + 0.5 WHERE cell_id = 5",
    ("cell 6", "width_um"): "UPDATE fact_cell SET width_um = width_um + 1 WHERE cell_id = 6",
    ("cell 7", "lost"): "DELETE FROM fact_cell WHERE cell_id = 7",
    ("cell 9999", "added"): "INSERT INTO fact_cell BY NAME SELECT * REPLACE (9999 AS cell_id, x_um + 40 AS x_um) "
    "FROM fact_cell WHERE cell_id = 8",
    ("cell 9", "added"): "INSERT INTO fact_cell BY NAME SELECT * FROM fact_cell WHERE cell_id = 9",
    ("analysis", "counted_cells"): "UPDATE fact_analysis SET counted_cells = counted_cells - 1",
    ("analysis", "analysed_um2"): "UPDATE fact_analysis SET analysed_um2 = analysed_um2 + 1",
    ("field 0", "found_cells"): "UPDATE fact_field SET found_cells = found_cells + 1 WHERE field_id = 0",
    ("differential blast", "high"): "UPDATE fact_differential SET high = high - 0.01 WHERE category = 'blast'",
    ("suggestion", "reasons"): "UPDATE fact_patient_diagnosis SET reasons = list_append(reasons, 'invented')",
    ("suggestion", "total_cells"): "UPDATE fact_patient_diagnosis SET total_cells = total_cells + 1",
}
"""Row and column, and how someone changed it in the warehouse."""


def test_every_row_that_was_tampered_with_is_named_and_no_other(home: Path) -> None:
    for change in TAMPERED.values():
        tamper(home, change)
    report = verify(home)
    assert not report["identical"]
    assert {(row["row"], row["what"]) for row in report["differences"]} == TAMPERED.keys()
    assert all(row["stored"] != row["computed"] for row in report["differences"])


def test_changed_classes_do_not_make_a_true_suggestion_look_false(home: Path) -> None:
    tamper(home, "UPDATE fact_cell SET cell_class = 'blast' WHERE cell_class <> 'blast'")
    report = verify(home)
    assert {row["what"] for row in report["differences"]} == {
        "cell_class"
    }  # the stored suggestion is still the true one


def test_while_a_run_has_the_warehouse_the_published_file_is_verified(counted: Path) -> None:
    hold = (
        "import pathlib, sys\nfrom warehouse.connection import open_warehouse\n"
        "with open_warehouse(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", hold, str(counted / "warehouse" / "marrow.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        report = verify(counted)
        holder.communicate("\n", timeout=30)
    assert report["identical"]
    assert report["results"] == 1
    assert "published" in report["source"]


def test_a_slide_whose_store_is_damaged_or_gone_is_no_proof(home: Path) -> None:
    shutil.rmtree(home / "slides" / "s1.ome.zarr")
    (difference,) = [row for row in verify(home)["differences"] if row["row"] == "analysis"]
    assert difference["what"] == "not computed"


def test_the_models_of_the_run_are_asked_for_by_name_and_found_in_a_folder(home: Path, tmp_path: Path) -> None:
    tamper(
        home, "UPDATE dim_model SET digest = 'f' || digest; UPDATE fact_analysis SET model_digest = 'f' || model_digest"
    )
    with pytest.raises(UserError, match=r"phantom .*--models"):
        verify(home)
    shutil.copytree(SHIPPED / "blood", tmp_path / "blood")
    with pytest.raises(UserError, match="phantom"):
        verify(home, models=(str(tmp_path / "blood"),))


def test_a_configuration_that_this_marrow_does_not_know_is_said_to_be_another(home: Path) -> None:
    tamper(home, "UPDATE fact_analysis SET config_digest = 'abc'")
    with pytest.raises(UserError, match="another configuration"):
        verify(home)


@pytest.mark.parametrize(("run", "said"), [("night-9", "No run is called"), ("", "No run|fits")])
def test_a_run_that_is_not_there_is_wrong_usage(counted: Path, run: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        verify(counted, run or "x")
