"""The schedule, the worker and the back-fill, on a real Prefect server."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.nights import MARROW, environment, published, small_phantom
from tests.end_to_end.servers import PREFECT, prefect_server, process, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PROJECT = Path(__file__).parents[2]
EVERY_MINUTE = "* * * * *"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The environment of a Prefect server with a process worker on the pool that `marrow deploy` makes."""
    folder = tmp_path_factory.mktemp("prefect")
    small_phantom(folder / "inbox", seed=21, patients=1)
    with prefect_server(folder) as env:
        deploy(env, folder, "--cron", "0 0 1 1 *", "--timezone", "Europe/Berlin")
        with process(PREFECT, "worker", "start", "--pool", "marrow", log=folder / "worker.log", env=env, cwd=folder):
            yield env, folder


def deploy(env, folder, *arguments):
    done = subprocess.run(
        [MARROW, "deploy", "--home", folder / "home", "--inbox", folder / "inbox", *arguments],
        env=env,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def prefect(env, *arguments, timeout_s=300):
    done = subprocess.run(
        [PREFECT, *arguments], env=env, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def runs_of(home):
    if not (home / "published" / "marrow.duckdb").exists():
        return []
    with published(home) as database:
        return database.execute("SELECT run_id, trigger, state FROM runs ORDER BY started_at").fetchall()


def test_a_night_triggered_through_server_and_worker_publishes(server):
    env, folder = server

    prefect(env, "deployment", "run", "nightly/nightly", "--param", "trigger=manual", "--watch")

    assert [row[1:] for row in runs_of(folder / "home")] == [("manual", "done")]


def test_a_data_engineer_fills_back_one_slide(server):
    env, folder = server
    with published(folder / "home") as database:
        (slide_id,) = database.execute("SELECT slide_id FROM slides").fetchone()

    parameters = json.dumps({"slides": [slide_id], "target_cells": 20})
    prefect(env, "deployment", "run", "analyse/analyse", "--params", parameters, "--watch")

    assert runs_of(folder / "home")[-1][1:] == ("backfill", "done")
    with published(folder / "home") as database:
        assert database.execute("SELECT count(*) FROM fact_analysis").fetchone() == (2,)
        assert database.execute("SELECT count(*) FROM analyses").fetchone() == (1,)


def test_the_cron_schedule_really_fires(server):
    env, folder = server
    before = len(runs_of(folder / "home"))
    deploy(env, folder, "--cron", EVERY_MINUTE, "--timezone", "America/New_York")

    found = wait_until(
        lambda: [row for row in runs_of(folder / "home")[before:] if row[1] == "schedule"],
        timeout_s=300,
        what="a night fired by its schedule",
        step_s=2,
    )

    deploy(env, folder, "--cron", "0 0 1 1 *", "--timezone", "America/New_York")
    assert found[0][1:] == ("schedule", "done")


def test_the_file_of_deployments_is_also_valid_for_prefect_itself(server):
    env, _ = server

    subprocess.run(
        [PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", PROJECT / "deployments" / "prefect.yaml"],
        env=env,
        cwd=PROJECT,
        capture_output=True,
        timeout=180,
        check=True,
    )

    shown = prefect(env, "deployment", "inspect", "nightly/nightly")
    assert "Europe/Berlin" in shown
    assert "30 1 * * *" in shown


def test_a_run_leaves_its_table_and_its_steps_in_the_server(server):
    env, _ = server

    table = prefect(env, "artifact", "inspect", "night")
    progress = prefect(env, "artifact", "inspect", "night-progress")

    assert "slide_id" in table
    assert "100" in progress


@pytest.mark.nights
def test_marrow_serve_runs_the_schedule_on_one_machine_without_a_server(tmp_path):
    small_phantom(tmp_path / "inbox", seed=22, patients=1)
    command = (MARROW, "serve", "--home", tmp_path / "home", "--inbox", tmp_path / "inbox", "--cron", EVERY_MINUTE)

    env = environment(embedded=True)
    with process(*command, "--timezone", "Europe/Berlin", log=tmp_path / "serve.log", env=env):
        found = wait_until(
            lambda: runs_of(tmp_path / "home"), timeout_s=400, what="a night fired by marrow serve", step_s=2
        )

    assert found[0][1:] == ("schedule", "done"), (tmp_path / "serve.log").read_text()[-2000:]
