"""Findings 1 and 3, F54, F61: what Prefect believes is put right by what the operating system knows."""

import json
import subprocess
import urllib.request

import psutil
import pytest

from tests.end_to_end.nights import MARROW, published, small_phantom
from tests.end_to_end.servers import PREFECT, prefect_server, process, wait_until
from tests.end_to_end.test_schedule import deploy, prefect

pytestmark = [pytest.mark.nights, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Prefect server with Marrow's deployments and no worker."""
    folder = tmp_path_factory.mktemp("prefect")
    small_phantom(folder / "inbox", seed=41, patients=1)
    with prefect_server(folder) as env:
        deploy(env, folder, "--cron", "0 0 1 1 *", "--timezone", "Europe/Berlin")
        yield env, folder


def api(env, path, body=None):
    request = urllib.request.Request(
        f"{env['PREFECT_API_URL']}/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def flow_runs(env):
    """Flow runs of the nights, oldest first."""
    nights = {"flows": {"name": {"any_": ["nightly"]}}, "sort": "START_TIME_ASC"}
    return [run for run in api(env, "flow_runs/filter", nights) if run["state_type"] != "SCHEDULED" or run["tags"]]


def reconcile(env, folder):
    done = subprocess.run(
        [MARROW, "reconcile", "--home", folder / "home", "--json"],
        env=env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(row["what"], row["action"]) for row in json.loads(done.stdout)]


def test_deploying_twice_leaves_one_of_each_automation(server):
    env, folder = server
    deploy(env, folder, "--cron", "0 0 1 1 *", "--timezone", "Europe/Berlin")

    found = {row["name"]: row for row in api(env, "automations/filter", {})}

    assert len(api(env, "automations/filter", {})) == 3
    lost = found["marrow: a night without heartbeat has crashed"]
    assert (lost["trigger"]["posture"], lost["trigger"]["within"]) == ("Proactive", 540.0)
    assert lost["trigger"]["after"] == ["prefect.flow-run.heartbeat"]
    assert (lost["actions"][0]["type"], lost["actions"][0]["state"]) == ("change-flow-run-state", "CRASHED")
    watch = api(env, "deployments/name/reconcile/reconcile")
    for name, event in (
        ("marrow: a crashed night is put right", "Crashed"),
        ("marrow: a late night is looked into", "Late"),
    ):
        assert found[name]["enabled"]
        assert found[name]["trigger"]["expect"] == [f"prefect.flow-run.{event}"]
        assert found[name]["actions"][0]["deployment_id"] == watch["id"]


def test_the_reconciler_is_scheduled_every_five_minutes_beside_the_night(server):
    env, _ = server
    watch = api(env, "deployments/name/reconcile/reconcile")

    assert [row["schedule"]["interval"] for row in watch["schedules"]] == [300.0]
    assert (watch["work_queue_name"], watch["parameters"]["home"]) == ("watch", str(server[1] / "home"))
    assert api(env, "work_pools/marrow")["concurrency_limit"] is None
    limits = {q["name"]: q["concurrency_limit"] for q in api(env, "work_pools/marrow/queues/filter", {})}
    assert limits == {"default": 1, "watch": 1}


def test_f54_a_night_killed_with_its_worker_is_closed_resumed_and_finished(server):
    env, folder = server
    signs = folder / "home" / "alive"
    with process(
        PREFECT, "worker", "start", "--pool", "marrow", log=folder / "worker.log", env=env, cwd=folder
    ) as worker:
        prefect(env, "deployment", "run", "nightly/nightly")
        # Killed as soon as it holds the warehouse, long before its first heartbeat at 180 s.
        wait_until(lambda: signs.is_dir() and list(signs.iterdir()), timeout_s=240, what="a sign of life", step_s=0.1)
        for child in [*psutil.Process(worker.pid).children(recursive=True), psutil.Process(worker.pid)]:
            child.kill()
    (dead,) = [run for run in flow_runs(env) if run["state_type"] == "RUNNING"]

    first, second = reconcile(env, folder), reconcile(env, folder)

    assert ("flow run", "set to Crashed") in first
    assert ("flow run", "a resume was asked for") in first
    assert second == []
    assert api(env, f"flow_runs/{dead['id']}")["state_type"] == "CRASHED"
    assert list(signs.iterdir()) == []

    with process(PREFECT, "worker", "start", "--pool", "marrow", log=folder / "worker.log", env=env, cwd=folder):
        file = folder / "home" / "published" / "marrow.duckdb"
        wait_until(file.exists, timeout_s=400, what="the resumed night", step_s=1)
        (resumed,) = [run for run in flow_runs(env) if "marrow-resume-1" in run["tags"]]
        wait_until(
            lambda: api(env, f"flow_runs/{resumed['id']}")["state_type"] == "COMPLETED", timeout_s=60, what="its end"
        )
    with published(folder / "home") as database:
        states = database.execute("SELECT state FROM runs ORDER BY started_at").fetchall()
    assert states[-1] == ("done",)
    assert set(states[:-1]) <= {("crashed",)}
