"""What a user gets from `marrow run`."""

import json
import os
import re
import stat
import subprocess
import sys
import time

import duckdb
import pytest

from tests.end_to_end.nights import (
    MARROW,
    cells_of,
    environment,
    marrow,
    published,
    rows,
    run_night,
    small_phantom,
    told_to_prefect,
)

pytestmark = pytest.mark.slow

VIEWS = {
    "slides": {"slide_id", "patient_id", "state", "reason"},
    "cells": {"slide_id", "cell_id", "x_um", "y_um", "width_um", "height_um", "cell_class", "confidence"},
    "cell_counts": {"slide_id", "patient_id", "cell_class", "cells", "percent"},
    "patient_diagnoses": {"patient_id", "diagnosis", "probability", "status", "reasons"},
    "runs": {"run_id"},
    "models": {"digest"},
}


def test_every_slide_ends_and_the_result_is_published(night):
    home, _, result = night

    assert (result["state"], result["discovered"], result["done"]) == ("done", 2, 2)
    assert result["published"] == str(home / "published" / "marrow.duckdb")


def test_an_operator_finds_each_slide_with_its_stages_in_prefect(night):
    home, _, result = night

    for row in result["table"]:
        state, message, log = told_to_prefect(home / "prefect", row["slide_id"])
        assert (state, message) == ("Completed", "done")
        stages = [re.fullmatch(r"(.+): \d+\.\d s", line) for _, line in log]
        assert [match[1] for match in stages if match] == [
            "ingest", "survey", "detect and classify", "validate", "load",
        ]  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_analysts_find_the_promised_views_and_columns(night, view):
    with published(night[0]) as database:
        columns = {row[0] for row in database.execute(f"DESCRIBE {view}").fetchall()}

    assert columns >= VIEWS[view]


def test_everything_published_is_also_parquet(night):
    home, *_ = night
    with published(home) as database:
        for view in VIEWS:
            here = database.execute(f"SELECT count(*) FROM {view}").fetchone()
            path = home / "published" / "parquet" / f"{view}.parquet"
            assert duckdb.execute(f"SELECT count(*) FROM '{path}'").fetchone() == here


def test_the_counts_are_those_of_the_cells_and_sum_to_100_percent(night):
    with published(night[0]) as database:
        by_cells = database.execute(
            "SELECT slide_id, cell_class, count(*) FROM cells GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        by_counts = database.execute(
            "SELECT slide_id, cell_class, cells FROM cell_counts WHERE cells > 0 ORDER BY ALL"
        ).fetchall()
        sums = database.execute("SELECT sum(percent) FROM cell_counts GROUP BY slide_id").fetchall()

    assert by_cells == by_counts
    assert all(abs(total - 100) < 1e-6 for (total,) in sums)


def test_a_patient_with_too_few_cells_gets_no_suggestion_but_the_reason(night):
    with published(night[0]) as database:
        found = database.execute("SELECT status, diagnosis, reasons FROM patient_diagnoses").fetchall()

    assert [(status, diagnosis) for status, diagnosis, _ in found] == [("insufficient", None)] * 2
    assert all("500 are needed" in reasons[0] for *_, reasons in found)


def test_a_second_night_computes_nothing_and_changes_no_row(tmp_path):
    small_phantom(tmp_path / "inbox", seed=6, patients=1)
    run_night(tmp_path / "inbox", tmp_path / "home")
    before = _facts(tmp_path / "home")

    again = run_night(tmp_path / "inbox", tmp_path / "home")

    assert [row["unchanged"] for row in again["table"]] == [True]
    assert _facts(tmp_path / "home") == before
    with published(tmp_path / "home") as database:
        stages = database.execute(
            "SELECT DISTINCT stage FROM stage_time WHERE run_id = ? AND slide_id IS NOT NULL", [again["run_id"]]
        ).fetchall()
    assert stages == []


def _facts(home):
    """Every row of every fact and dimension, but for the runs."""
    tables = ["dim_patient", "dim_slide", "dim_model", "dim_cell_class", "fact_analysis", "fact_field", "fact_cell"]
    tables += ["fact_patient_diagnosis", "fact_differential"]
    with published(home) as database:
        return {table: database.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall() for table in tables}


def test_the_same_slide_gives_the_same_cells_from_every_container(tmp_path):
    homes = {}
    for slide_format in ("svs", "dicom", "ome-tiff"):
        small_phantom(tmp_path / slide_format, seed=7, patients=1, slide_format=slide_format)
        homes[slide_format] = tmp_path / f"home-{slide_format}"
        run_night(tmp_path / slide_format, homes[slide_format])
    cells = {slide_format: cells_of(home) for slide_format, home in homes.items()}

    assert len(cells["svs"]) > 50
    assert cells["svs"] == cells["dicom"] == cells["ome-tiff"]


def test_the_identity_planted_in_every_input_is_nowhere_under_home(tmp_path):
    canary = "CANARY-JANE-4711"
    small_phantom(tmp_path / "inbox", seed=8, patients=1, canary=canary)
    manifest = tmp_path / "inbox" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("PHANTOM-0001", canary))
    broken = tmp_path / "inbox" / f"{canary}-broken.svs"
    broken.write_bytes(b"II*\0" + canary.encode() * 100)
    with manifest.open("a") as file:
        file.write(f"{broken.name},{canary}-2\n")

    done = marrow("run", "--inbox", tmp_path / "inbox", "--home", tmp_path / "home", embedded=True)

    assert done.returncode == 3, done.stderr
    needles = [canary.encode(), canary.replace("-", "_").encode(), canary.encode("utf-16-le")]
    assert not [n for n in needles if n in (done.stdout + done.stderr).encode()]
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert len(files) > 20
    leaks = [p.relative_to(tmp_path) for p in files if any(n in p.read_bytes() for n in needles)]
    assert leaks == []
    assert [p for p in files if "CANARY" in p.name] == []


def test_the_pseudonym_key_is_for_its_owner_only(night):
    key = night[0] / "keys" / "pseudonym.key"

    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_bad_slide_costs_itself_and_the_exit_code_says_so(tmp_path):
    inbox = tmp_path / "inbox"
    small_phantom(inbox, seed=9, patients=1)
    good = next(inbox.glob("*.svs"))
    (inbox / "empty.svs").touch()
    (inbox / "truncated.svs").write_bytes(good.read_bytes()[: good.stat().st_size // 3])
    (inbox / "copy.svs").write_bytes(good.read_bytes())
    (inbox / "picture.svs").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    os.mkfifo(inbox / "pipe.svs")
    with (inbox / "manifest.csv").open("a") as file:
        file.write("empty.svs,P2\ntruncated.svs,P3\npicture.svs,P4\nnot-there.svs,P5\n")

    result = run_night(inbox, tmp_path / "home", expect=3)

    assert result["state"] == "done_with_quarantine"
    states = sorted((row["state"], row["reason"]) for row in result["table"] if row["state"] != "done")
    assert states == [
        ("deferred", "FILE_MISSING"),
        ("quarantined", "DUPLICATE_CONTENT"),
        ("quarantined", "EMPTY_FILE"),
        ("quarantined", "NOT_REGULAR_FILE"),
        ("quarantined", "TRUNCATED"),
        ("quarantined", "WRONG_TYPE"),
    ]
    assert result["discovered"] == result["done"] + result["quarantined"] + result["deferred"] == 7


def test_a_slide_that_is_still_growing_is_deferred_and_taken_the_next_night(tmp_path):
    inbox = tmp_path / "inbox"
    small_phantom(inbox, seed=10, patients=1)
    slide = next(inbox.glob("*.svs"))
    grower = subprocess.Popen(
        [sys.executable, "-c", _GROW, slide], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert grower.stdout.readline() == "growing\n"
        first = run_night(inbox, tmp_path / "home", MARROW_SETTLE_S="1", MARROW_MAX_QUARANTINED_SHARE="1")
    finally:
        grower.communicate("stop\n", timeout=30)
    second = run_night(inbox, tmp_path / "home")

    assert [(row["state"], row["reason"]) for row in first["table"]] == [("deferred", "STILL_COPYING")]
    assert (second["done"], second["quarantined"]) == (1, 0)


_GROW = """
import pathlib, select, sys
path = pathlib.Path(sys.argv[1])
whole = path.read_bytes()
size = len(whole)
print("growing", flush=True)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    with path.open("ab") as file:
        file.write(b"x")
path.write_bytes(whole)
"""


def test_an_analyst_reads_while_a_night_writes(night, tmp_path):
    home, *_ = night
    small_phantom(tmp_path / "inbox", seed=11, patients=2)
    command = [MARROW, "run", "--inbox", tmp_path / "inbox", "--home", tmp_path / "home2"]
    subprocess.run(["cp", "-r", home, tmp_path / "home2"], check=True)
    writer = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    counts = set()
    with published(tmp_path / "home2") as held:
        while writer.poll() is None:
            query = [sys.executable, "-c", _COUNT, tmp_path / "home2" / "published" / "marrow.duckdb"]
            counts.add(int(subprocess.run(query, capture_output=True, text=True, check=True, timeout=60).stdout))
            held.execute("SELECT count(*) FROM cells").fetchone()
            time.sleep(0.2)

    assert writer.returncode == 0
    assert min(counts) == 2
    with published(tmp_path / "home2") as database:
        assert database.execute("SELECT count(*) FROM slides").fetchone() == (4,)


_COUNT = """
import duckdb, sys
print(duckdb.connect(sys.argv[1], read_only=True).execute("SELECT count(*) FROM slides").fetchone()[0])
"""


def test_two_runs_on_one_home_do_not_mix_and_the_second_says_who_holds_it(tmp_path):
    small_phantom(tmp_path / "inbox", seed=12, patients=1)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, tmp_path / "home" / "warehouse" / "marrow.duckdb"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        done = marrow("run", "--inbox", tmp_path / "inbox", "--home", tmp_path / "home")
    finally:
        holder.communicate("\n", timeout=30)

    assert done.returncode == 1
    assert str(holder.pid) in done.stderr
    assert "Traceback" not in done.stderr


_HOLD = """
import pathlib, sys
from warehouse.connection import open_warehouse
with open_warehouse(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--inbox", "/nowhere"), "not a folder"),
        ((), "No inbox"),
        (("--inbox", ".", "--models", "no-such"), "no model bundle"),
        (("--inbox", ".", "--cluster", "cloud"), "none of"),
        (("--inbox", ".", "--target-cells", "-1"), "target-cells"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_a_message_and_no_traceback(tmp_path, arguments, said):
    (tmp_path / "manifest.csv").write_text("file,patient_id\nx.svs,P1\n")

    done = subprocess.run(
        [MARROW, "run", "--home", tmp_path / "home", *arguments],
        env=environment(MARROW_CLUSTER=""),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=200,
        check=False,
    )

    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_night_that_fails_its_gate_leaves_the_earlier_publication(tmp_path):
    small_phantom(tmp_path / "inbox", seed=13, patients=1)
    run_night(tmp_path / "inbox", tmp_path / "home")
    before = (tmp_path / "home" / "published" / "marrow.duckdb").stat().st_ino
    for slide in (tmp_path / "inbox").glob("*.svs"):
        slide.unlink()
    (tmp_path / "inbox" / "manifest.csv").write_text("file,patient_id\n")

    failed = run_night(tmp_path / "inbox", tmp_path / "home", expect=1)

    assert failed["state"] == "failed"
    assert "manifest" in failed["failure"]
    assert (tmp_path / "home" / "published" / "marrow.duckdb").stat().st_ino == before


def test_status_shows_the_last_run_and_every_slide(night):
    home, _, result = night

    done = marrow("status", "--home", home, "--json")

    shown = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert shown["run"]["run_id"] == result["run_id"]
    assert {row["slide_id"] for row in shown["slides"]} == {row["slide_id"] for row in result["table"]}


def test_check_passes_on_a_sound_home_and_names_what_is_wrong_otherwise(night, tmp_path):
    home, inbox, _ = night
    sound = marrow("check", "--home", home, "--inbox", inbox, "--json")
    (tmp_path / "inbox").mkdir()
    bad = marrow("check", "--home", tmp_path / "home", "--inbox", tmp_path / "inbox", "--json")

    assert sound.returncode == 0, sound.stdout
    assert bad.returncode == 2
    assert [row["check"] for row in json.loads(bad.stdout) if not row["ok"]] == ["inbox"]


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path):
    small_phantom(tmp_path / "inbox", seed=14, patients=1)

    done = marrow("run", "--inbox", tmp_path / "inbox", "--home", tmp_path / "home", "--dry-run", "--json")

    files = [row["file"] for row in rows(tmp_path / "inbox" / "manifest.csv")]
    assert json.loads(done.stdout) == [{"file": name, "would": "take through", "reason": None} for name in files]
    assert not (tmp_path / "home").exists()


def test_help_lists_every_command_at_once():
    started = time.monotonic()
    done = marrow("--help")

    assert done.returncode == 0
    for command in (
        *(
            "demo",
            "phantom",
            "run",
            "status",
            "check",
            "publish",
            "deploy",
            "serve",
            "train",
            "evaluate",
            "init",
            "retry",
        ),
        *("quarantine", "explain", "verify", "backup", "restore", "reasons", "reconcile", "query", "models"),
    ):
        assert command in done.stdout
    assert time.monotonic() - started < 30
