"""What a laboratory does the morning after: look, release, retry, verify, restore; with real nights."""

import json
import shutil
import subprocess

import pytest

from flows.command_backup import list_backups, make_backup, restore_backup
from flows.command_quarantine import explain, quarantine_report
from tests.end_to_end.nights import marrow, published, run_night, small_phantom

pytestmark = pytest.mark.nights


def test_a_night_computed_again_by_another_process_is_identical_bit_for_bit(night):
    home, _, result = night

    done = marrow("verify", result["run_id"][:15], "--home", home, "--json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["identical"], report["results"], report["suggestions"]) == (True, 2, 2)
    assert report["cells"] == sum(row["cells"] for row in result["table"])


def test_a_slide_goes_into_quarantine_stays_there_unread_and_comes_out_by_a_retry(tmp_path):
    inbox, home = tmp_path / "inbox", tmp_path / "home"
    small_phantom(inbox, seed=21, patients=1)
    good = next(inbox.glob("*.svs"))
    # A slide that the models cannot read at the scale that the manifest gives: the cause lies in the slide.
    coarse = inbox / "JANE-4711.svs"
    shutil.copy(good, coarse)
    with coarse.open("ab") as file:
        file.write(b"another content")
    manifest = inbox / "manifest.csv"
    head, *rows = manifest.read_text().splitlines()
    assert "um_per_px" not in head
    listed = [f"{head},um_per_px", *(f"{row}," for row in rows)]
    other = ["JANE-4711.svs", *["" for _ in head.split(",")[1:]]]
    other[head.split(",").index("patient_id")] = "PATIENT-2"
    manifest.write_text("\n".join([*listed, ",".join([*other, "0.9"])]) + "\n")

    first = run_night(inbox, home, expect=3)
    (bad,) = [row["slide_id"] for row in first["table"] if row["state"] == "quarantined"]
    second = run_night(inbox, home, expect=3)

    assert [row["reason"] for row in second["table"] if row["slide_id"] == bad] == ["MPP_OUT_OF_RANGE"]
    assert second["discovered"] == second["done"] + second["quarantined"] + second["deferred"] == 2
    with published(home) as database:
        stages = database.execute("SELECT run_id, stage FROM stage_times WHERE slide_id = ?", [bad]).fetchall()
    assert {run for run, _ in stages} == {first["run_id"]}
    (row,) = quarantine_report(home)["slides"]
    assert (row["slide_id"], row["attempts"], row["run_id"]) == (bad, 1, second["run_id"])
    assert len(list_backups(home)) == 1  # from before the second night: there was nothing to lose before the first

    manifest.write_text(manifest.read_text().replace("0.9", ""))
    again = marrow("retry", bad[:8], "--inbox", inbox, "--home", home, "--json")

    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["done"] == 1
    history = explain(home, bad)
    ends = [(e["state"], e["reason"]) for e in history["events"] if e["state"] in ("done", "quarantined")]
    assert ends == [("quarantined", "MPP_OUT_OF_RANGE")] * 2 + [("done", None)]
    assert [result["is_current"] for result in history["results"]] == [True]
    for output in (json.dumps(history, default=str), again.stdout, again.stderr):
        assert not [name for name in ("JANE", "PATIENT-2", str(inbox)) if name in output]


def test_a_ruined_warehouse_fails_the_night_and_the_printed_way_back_works(night, tmp_path):
    home, inbox = tmp_path / "home", tmp_path / "inbox"
    subprocess.run(["cp", "-a", night[0], home], check=True)
    subprocess.run(["cp", "-a", night[1], inbox], check=True)
    make_backup(home)
    (home / "warehouse" / "marrow.duckdb").write_bytes(b"ruin" * 1000)

    failed = marrow("run", "--inbox", inbox, "--home", home)

    assert failed.returncode == 1
    assert "marrow restore" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (home / "warehouse" / "marrow.duckdb").read_bytes() == b"ruin" * 1000
    restored = restore_backup(home, None)
    assert restored["rows"]["dim_slide"] == 2
    again = run_night(inbox, home)
    assert [row["unchanged"] for row in again["table"]] == [True, True]
