"""What whoever is on call types, and what comes back: data on standard output, exit codes, no identity."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import cli
from flows.command_quarantine import reasons_markdown
from marrow_models.errors import REASONS, Reason
from tasks.home import Home
from tests.unit.store_house.factories import START, begin_night, finish_slide, run_record, slide_record
from warehouse.connection import open_warehouse
from warehouse.dimensions import store_slide
from warehouse.ledger import State, record
from warehouse.publish import publish
from warehouse.quarantine import quarantine_table
from warehouse.records import StageTime
from warehouse.runs import RunState, finish_run, record_stage_times, start_run
from warehouse.validate import GateResult, Outcome, store_results

Marrow = Callable[..., tuple[int, str, str]]
PROJECT = Path(__file__).parents[3]


@pytest.fixture
def marrow(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Marrow:
    """Runs the command line on the HOME of the test: exit code, standard output, messages in one line."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["marrow", *map(str, words), "--home", str(root / "home")])
        code = cli._run()
        captured = capsys.readouterr()
        return code, captured.out, re.sub(r"[\s│╭╮╰╯─]+", " ", captured.err)

    return run


@pytest.fixture
def home(root: Path) -> Home:
    """Two nights: s1 is done; s2 was done and is in quarantine since; e3 was never a slide. Published."""
    place = Home(root / "home").create()
    with open_warehouse(place.warehouse) as warehouse:
        begin_night(warehouse)
        finish_slide(warehouse, "s1aa")
        finish_slide(warehouse, "s1bb")
        finish_run(warehouse, "night-1", RunState.DONE)
        start_run(warehouse, run_record("night-2"))
        record(warehouse, "night-2", "s1aa", State.DISCOVERED)
        record(warehouse, "night-2", "s1aa", State.DONE)
        record(warehouse, "night-2", "s1bb", State.DISCOVERED, detail="tried with models abc")
        record_stage_times(warehouse, [StageTime("night-2", "s1bb", "ingest", START, 1.0)])
        outcome = Outcome("column_values_to_be_between", "confidence", False, False, 3, None)
        store_results(warehouse, [GateResult("night-2", "cells", "s1bb", (outcome,))])
        store_slide(warehouse, slide_record("s1bb", missing_um2=10_000.0))
        record(warehouse, "night-2", "s1bb", State.QUARANTINED, reason=Reason.EXPECTATION_FAILED, detail="3 rows")
        record(warehouse, "night-2", "e3", State.DISCOVERED)
        record(warehouse, "night-2", "e3", State.QUARANTINED, reason=Reason.EMPTY_FILE)
        finish_run(warehouse, "night-2", RunState.DONE_WITH_QUARANTINE)
        publish(warehouse, place.published)
    return place


@pytest.fixture
def held(home: Home):
    """The same while another process has the warehouse, as a run does."""
    code = (
        "import pathlib, sys\nfrom warehouse.connection import open_warehouse\n"
        "with open_warehouse(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", code, str(home.warehouse)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.communicate("\n", timeout=60)


def test_the_list_says_code_cause_next_step_since_when_and_how_often(home: Home, marrow: Marrow) -> None:
    code, out, err = marrow("quarantine", "list", "--json")
    report = json.loads(out)
    rows = {row["slide_id"]: row for row in report["slides"]}
    assert code == 0
    assert rows.keys() == {"s1bb", "e3"}
    told = rows["s1bb"]
    assert (told["reason"], told["detail"], told["attempts"]) == ("EXPECTATION_FAILED", "3 rows", 1)
    assert told["cause"] == REASONS[Reason.EXPECTATION_FAILED].cause
    assert told["next_step"] == REASONS[Reason.EXPECTATION_FAILED].next_step
    assert told["since"].startswith("20")
    assert told["then"] != rows["e3"]["then"]
    assert "the warehouse" in report["source"]
    assert "Read from the warehouse" in err


def test_one_slide_is_shown_by_the_beginning_of_its_id(home: Home, marrow: Marrow) -> None:
    code, out, _ = marrow("quarantine", "show", "s1b")
    assert code == 0
    assert "EXPECTATION_FAILED" in out
    assert REASONS[Reason.EXPECTATION_FAILED].next_step in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("quarantine", "show", "s1"), "fits 2 slides: s1aa, s1bb"),
        (("quarantine", "show", "s1a"), "s1aa is not in quarantine"),
        (("quarantine", "show", "x"), "No slide is called 'x'"),
        (("explain", ""), "No slide is called"),
        (("verify", "night-9"), "No run is called 'night-9'"),
        (("verify", "night"), "fits 2 runs: night-1, night-2"),
        (("restore", "marrow-1999"), "there is no backup marrow-1999"),
        (("retry", "s9"), "No slide is called 's9'"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(home: Home, marrow: Marrow, words: tuple[str, ...], said: str) -> None:
    code, out, err = marrow(*words)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("group", [(), ("quarantine",), ("models",), ("train",)])
def test_help_tells_each_command_in_a_line_and_loads_no_rich_help(group: tuple[str, ...]) -> None:
    code = (
        "import sys, flows.cli\n"
        f"sys.argv = ['marrow', *{group!r}, '--help']\n"
        "ends = flows.cli._run()\n"
        "sys.exit(ends or ('rich.markdown' in sys.modules))"
    )
    narrow = os.environ | {"COLUMNS": "80"}
    done = subprocess.run([sys.executable, "-c", code], env=narrow, cwd=PROJECT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    commands = done.stdout.partition("Commands:")[2].strip().splitlines()
    assert len(commands) > 1
    assert [line for line in commands if not re.fullmatch(r"\s*[a-z]+ +\S.*\.", line)] == []
    assert "..." not in "".join(commands)


def test_without_a_warehouse_every_command_says_so(tmp_path: Path, monkeypatch, capsys) -> None:
    for words in (["quarantine", "list"], ["explain", "s1"], ["verify", "latest"], ["backup"], ["restore"]):
        monkeypatch.setattr(sys, "argv", ["marrow", *words, "--home", str(tmp_path / "none")])
        assert cli._run() == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert re.search("There is no|there is no", captured.err)
    assert not (tmp_path / "none").exists()


def test_a_release_is_noted_once(home: Home, marrow: Marrow) -> None:
    assert marrow("quarantine", "release", "s1b")[0] == 0
    code, _, err = marrow("quarantine", "release", "s1b")
    assert code == 1
    assert "not in quarantine" in err
    (row,) = [row for row in json.loads(marrow("quarantine", "list", "--json")[1])["slides"] if row["released"]]
    assert row["slide_id"] == "s1bb"
    assert "next night" in row["then"]


def test_explain_tells_everything_over_all_runs(home: Home, marrow: Marrow) -> None:
    code, out, _ = marrow("explain", "s1bb", "--json")
    told = json.loads(out)
    assert code == 0
    assert [(e["run_id"], e["state"]) for e in told["events"]][-2:] == [
        ("night-2", "discovered"),
        ("night-2", "quarantined"),
    ]
    assert told["events"][-1]["next_step"] == REASONS[Reason.EXPECTATION_FAILED].next_step
    (result,) = told["results"]
    assert (result["run_id"], result["model"], result["config_digest"], result["is_current"]) == (
        "night-1",
        "toy",
        "g1",
        True,
    )
    (failed,) = told["failed_expectations"]
    assert (failed["run_id"], failed["column_name"], failed["unexpected_count"]) == ("night-2", "confidence", 3)
    assert told["slide"]["missing_um2"] == 10_000.0
    assert told["slide"]["missing_share"] == pytest.approx(0.01)


def test_explain_is_for_people_too(home: Home, marrow: Marrow) -> None:
    code, out, _ = marrow("explain", "s1bb")
    assert code == 0
    for said in ("What happened", "EXPECTATION_FAILED", "Results", "toy 1", "Expectations that failed", "confidence"):
        assert said in out


def test_while_a_run_has_the_warehouse_the_published_file_is_read_and_named(held, home: Home, marrow: Marrow) -> None:
    code, out, err = marrow("quarantine", "list", "--json")
    told = json.loads(out)
    assert code == 0
    assert {row["slide_id"] for row in told["slides"]} == {"s1bb", "e3"}
    assert {row["attempts"] for row in told["slides"]} == {1}
    assert "a run has the warehouse" in err
    assert json.loads(marrow("explain", "s1bb", "--json")[1])["results"]
    for words in (("quarantine", "release", "s1bb"), ("backup",), ("init", "--rotate-key")):
        code, _, err = marrow(*words)
        assert code == 1
        assert str(held.pid) in err


def test_the_table_of_reasons_in_the_docs_is_that_of_the_code() -> None:
    assert (PROJECT / "docs" / "reasons.md").read_text("utf-8") == reasons_markdown(), (
        "run: marrow reasons --markdown > docs/reasons.md"
    )


def test_the_table_of_reasons_is_printed(marrow: Marrow, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["marrow", "reasons", "--json"])
    assert cli._run() == 0
    assert {row["code"] for row in json.loads(capsys.readouterr().out)} == {str(reason) for reason in Reason}


def test_a_backup_is_made_listed_counted_and_restored(home: Home, marrow: Marrow) -> None:
    made = json.loads(marrow("backup", "--json")[1])
    again = json.loads(marrow("backup", "--json")[1])
    assert (made["made"], again["made"], made["backup"]) == (True, False, again["backup"])
    assert [row["backup"] for row in json.loads(marrow("backup", "--list", "--json")[1])] == [made["backup"]]
    assert json.loads(marrow("backup", "--verify", "--json")[1])["rows"] == made["rows"]
    assert made["rows"]["fact_cell"] == 24
    with open_warehouse(home.warehouse) as warehouse:
        warehouse.run("insert_quarantine_release", slide_id="x", released_at=START.replace(tzinfo=None))
    code, out, err = marrow("restore", made["backup"], "--json")
    restored = json.loads(out)
    assert code == 0
    assert restored["rows"] == made["rows"]
    assert Path(restored["replaced"]).is_file()
    assert "marrow publish" in err
    with open_warehouse(home.warehouse) as warehouse:
        assert warehouse.count("quarantine_release") == 0
        assert len(quarantine_table(warehouse)) == 2


def test_a_damaged_last_backup_is_passed_over_for_an_older_one(home: Home, marrow: Marrow) -> None:
    made = json.loads(marrow("backup", "--json")[1])["backup"]
    (home.backups / "marrow-29990101T000000Z.duckdb").write_bytes(b"ruin")
    code, _, err = marrow("backup", "--verify")
    assert code == 1
    assert "damaged" in err
    assert json.loads(marrow("restore", "--json")[1])["backup"] == made


def test_no_command_of_those_on_call_waits_for_an_engine() -> None:
    code = "import sys, flows.cli; print([m for m in ('prefect', 'torch', 'duckdb', 'dask') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
