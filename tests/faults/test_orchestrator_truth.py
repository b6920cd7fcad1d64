"""Finding 1, F46, F61, F64: what Prefect is told about a night is what the ledger knows."""

import json
import subprocess
import sys
import time

import psutil
import pytest

from tests.end_to_end.nights import MARROW, environment, run_night, small_phantom
from tests.end_to_end.servers import PREFECT, QUIET_PREFECT, answers, free_port, prefect_server, process, wait_until
from tests.faults.test_reconcile import api

pytestmark = [pytest.mark.nights, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefect")
    with prefect_server(folder) as env:
        yield env


def last_flow_run(env):
    (run,) = api(env, "flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})
    return run["state_name"], run["state_type"]


_WITHOUT_SLIDES = """
import sys
from pathlib import Path
import flows.nightly
flows.nightly.for_each = lambda *_: None  # what a future looks like whose wait() comes back too early
state = flows.nightly.nightly(home=Path(sys.argv[1]), inbox=Path(sys.argv[2]), return_state=True)
print(state.message)
"""


def test_a_night_whose_ledger_does_not_add_up_has_failed_in_prefect(server, tmp_path):
    small_phantom(tmp_path / "inbox", seed=61, patients=1)

    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_SLIDES, tmp_path / "home", tmp_path / "inbox"],
        env=server,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )

    assert "1 of 1 slides are neither done nor refused" in done.stdout
    assert last_flow_run(server) == ("NightFailed", "FAILED")
    assert not (tmp_path / "home" / "published" / "marrow.duckdb").exists()


def test_a_night_whose_workers_keep_dying_is_no_clean_success_in_prefect(server, tmp_path):
    small_phantom(tmp_path / "inbox", seed=62, patients=1)
    with (tmp_path / "stdout").open("w") as out:
        night = subprocess.Popen(
            [MARROW, "run", "--inbox", tmp_path / "inbox", "--home", tmp_path / "home", "--json"],
            env=server | {"MARROW_NO_WORKERS_TIMEOUT_S": "60"},
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
        killed = 0
        while night.poll() is None:
            killed += _kill_busy_workers(night.pid)
            time.sleep(0.05)
    result = json.loads((tmp_path / "stdout").read_text())

    assert killed >= 2
    assert night.returncode in (1, 3)
    assert result["done"] == 0
    assert result["discovered"] == result["done"] + result["quarantined"] + result["deferred"] == 1
    assert [row["reason"] for row in result["table"]] == ["WORKER_DIED"]
    assert last_flow_run(server) in {("CompletedWithQuarantine", "COMPLETED"), ("NightFailed", "FAILED")}


def _kill_busy_workers(pid):
    """SIGKILL the Dask workers that have begun to compute; how many."""
    killed = 0
    try:
        for child in psutil.Process(pid).children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()) and sum(child.cpu_times()[:2]) > 3.0:
                child.kill()
                killed += 1
    except psutil.NoSuchProcess:
        pass
    return killed


_HOLD = """
import pathlib, sys, time
from warehouse.connection import open_warehouse
with open_warehouse(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
_SCHEDULED = """
import sys
from pathlib import Path
from flows.nightly import nightly
print(nightly(home=Path(sys.argv[1]), inbox=Path(sys.argv[2]), trigger="schedule", return_state=True).name)
"""


@pytest.mark.chaos
def test_f61_a_scheduled_night_waits_for_the_run_that_has_the_warehouse(server, tmp_path):
    small_phantom(tmp_path / "inbox", seed=63, patients=1)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, tmp_path / "home" / "warehouse" / "marrow.duckdb"], env=environment(), **pipes
    )
    assert holder.stdout.readline() == "held\n"
    night = subprocess.Popen(
        [sys.executable, "-c", _SCHEDULED, tmp_path / "home", tmp_path / "inbox"], env=server, **pipes
    )
    time.sleep(20)
    assert night.poll() is None
    holder.communicate("\n", timeout=30)

    assert night.communicate(timeout=300)[0].split() == ["Completed"]


@pytest.mark.chaos
def test_f64_a_night_goes_on_while_the_prefect_server_restarts(tmp_path):
    small_phantom(tmp_path / "inbox", seed=64, patients=3)
    (tmp_path / "prefect").mkdir()
    port = free_port()
    env = environment(
        embedded=True,
        PREFECT_HOME=str(tmp_path / "prefect"),
        PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
        **QUIET_PREFECT,
    )
    command = (PREFECT, "server", "start", "--host", "127.0.0.1", "--port", port)
    up = {"timeout_s": 180, "what": "the Prefect server"}
    said = tmp_path / "stderr"
    with process(*command, log=tmp_path / "server.log", env=env):
        wait_until(lambda: answers(f"{env['PREFECT_API_URL']}/health"), **up)
        with said.open("w") as out:
            night = subprocess.Popen(
                [MARROW, "run", "--inbox", tmp_path / "inbox", "--home", tmp_path / "home"],
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=out,
            )
        wait_until(lambda: "done" in said.read_text(), timeout_s=240, what="a first slide that is done", step_s=0.1)
    with process(*command, log=tmp_path / "server.log", env=env):
        wait_until(lambda: answers(f"{env['PREFECT_API_URL']}/health"), **up)
        assert night.wait(timeout=400) == 0, said.read_text()[-3000:]
        assert last_flow_run(env) == ("Completed", "COMPLETED")
    assert run_night(tmp_path / "inbox", tmp_path / "home", embedded=True)["done"] == 3
