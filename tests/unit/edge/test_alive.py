"""Signs of life: a lock that dies with its process, however that ends."""

import subprocess
import sys

import pytest

from flows.alive import Life, alive, forget, life_of
from tasks.home import Home

_LIVE = """
import sys
from pathlib import Path
from flows.alive import alive
from tasks.home import Home
with alive(Home(Path(sys.argv[1])), "run"):
    print("alive", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def living(home):
    process = subprocess.Popen(
        [sys.executable, "-c", _LIVE, home.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "alive\n"
    return process


def test_nothing_is_known_of_a_run_that_left_no_sign(home):
    assert life_of(home, "run") is Life.UNKNOWN


def test_a_process_that_runs_is_alive_and_one_that_was_killed_is_dead(home):
    process = living(home)
    assert life_of(home, "run") is Life.ALIVE
    process.kill()
    process.communicate()
    assert life_of(home, "run") is Life.DEAD
    forget(home, "run")
    assert life_of(home, "run") is Life.UNKNOWN


def test_a_process_that_ended_in_order_leaves_no_sign(home):
    living(home).communicate("\n")
    assert list(home.alive.iterdir()) == []


def test_without_a_flow_run_there_is_nothing_to_sign(home):
    with alive(home, None):
        assert not home.alive.exists()
