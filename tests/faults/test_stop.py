"""F65: a night that is told to stop ends in order, and the next one goes on."""

import os
import signal
import subprocess
import time

import psutil
import pytest

from tests.end_to_end.nights import MARROW, environment, run_night, small_phantom
from tests.end_to_end.servers import wait_until
from warehouse import read
from warehouse.connection import open_warehouse

pytestmark = [pytest.mark.nights, pytest.mark.timeout(600), pytest.mark.usefixtures("services")]
LONGEST_END_S = 30


def latest_run(home):
    """The latest run of the warehouse itself; that it opens shows that nobody holds the lock."""
    with open_warehouse(home / "warehouse" / "marrow.duckdb") as warehouse:
        return read.latest_run(warehouse)


@pytest.mark.parametrize(
    ("number", "whole_group"), [(signal.SIGTERM, False), pytest.param(signal.SIGINT, True, marks=pytest.mark.chaos)]
)
def test_a_signal_ends_the_night_in_order_and_the_next_one_resumes(tmp_path, number, whole_group):
    inbox, home = tmp_path / "inbox", tmp_path / "home"
    small_phantom(inbox, seed=31, patients=3)
    said = tmp_path / "stderr"
    with said.open("w") as out:
        night = subprocess.Popen(
            [MARROW, "run", "--inbox", inbox, "--home", home],
            env=environment(embedded=True),
            stdout=subprocess.DEVNULL,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "done" in said.read_text(), timeout_s=240, what="a first slide that is done", step_s=0.1)
        children = psutil.Process(night.pid).children(recursive=True)
        asked = time.monotonic()
        # Ctrl-C in a terminal reaches the workers and the embedded server as well.
        (os.killpg if whole_group else os.kill)(night.pid, number)
        code = night.wait(timeout=LONGEST_END_S + 15)
        took = time.monotonic() - asked
    finally:
        if night.poll() is None:
            os.killpg(night.pid, signal.SIGKILL)

    assert code == 128 + number, said.read_text()[-2000:]
    assert took < LONGEST_END_S
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert "Traceback" not in said.read_text()
    run = latest_run(home)
    assert run.state == "failed"
    assert run.discovered == 3
    assert run.quarantined == 0

    again = run_night(inbox, home)
    assert (again["done"], again["quarantined"]) == (3, 0)
    assert sum(row["unchanged"] for row in again["table"]) >= 1
