"""F73: a Prefect server as Marrow starts it, and as deployments/ starts it, takes nobody without the password."""

import base64
import json
import os
import re
import socket
import stat
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.end_to_end.nights import MARROW, environment
from tests.end_to_end.servers import PREFECT, answers, free_port, process, wait_until

pytestmark = [pytest.mark.nights, pytest.mark.timeout(600)]
PROJECT = Path(__file__).parents[2]
CLOSED = ["admin/version", "admin/settings", "work_pools/marrow", "csrf-token?client=1", "deployments/name/a/b"]
CHANGING = ["flows/filter", "flow_runs/filter", "deployments/filter", "logs/filter", "work_pools/filter"]


def status(url, *, auth=None, body=b"{}"):
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    if auth:
        request.add_header("Authorization", "Basic " + base64.b64encode(auth.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def websocket_answer(port, path):
    """What a websocket without a password gets: the first line of the answer, or the close code."""
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        wire.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: prefect\r\n\r\n".encode()
        )
        answer = wire.recv(4096)
        if b" 101 " not in answer.partition(b"\r\n")[0]:
            return "refused"
        wire.sendall(_text_frame(b'{"type":"auth","token":"wrong"}'))
        answer = answer.partition(b"\r\n\r\n")[2] or wire.recv(4096)
        return "closed" if answer[:1] in (b"", b"\x88") or b"auth_failure" in answer else "open"


def _text_frame(data):
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


def check_closed(url, auth):
    port = int(re.search(r":(\d+)/", url)[1])
    assert {path: status(f"{url}/{path}", body=None) for path in CLOSED} == dict.fromkeys(CLOSED, 401)
    assert {path: status(f"{url}/{path}", body=None, auth="marrow:wrong") for path in CLOSED} == dict.fromkeys(
        CLOSED, 401
    )
    assert {status(f"{url}/{path}") for path in CHANGING} <= {401, 403}
    assert status(f"{url}/admin/version", body=None, auth=auth) == 200
    assert websocket_answer(port, "/api/events/out") in ("refused", "closed")
    # With the password but no CSRF token, as a foreign page in a browser would do it.
    assert status(f"{url}/flows/filter", auth=auth) == 403
    others = {i[4][0] for i in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for other in others:
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex((other, port)) != 0


def test_f73_the_server_of_marrow_serve_is_closed_and_its_password_is_the_owners(tmp_path):
    (tmp_path / "inbox").mkdir()
    log, password = tmp_path / "serve.log", tmp_path / "home" / "keys" / "prefect-server.auth"
    command = (MARROW, "serve", "--home", tmp_path / "home", "--inbox", tmp_path / "inbox", "--cron", "0 0 1 1 *")
    with process(*command, log=log, env=environment(embedded=True)):
        found = wait_until(
            lambda: re.search(r"Prefect: (http\S+/api)", log.read_text()), timeout_s=240, what="marrow serve"
        )
        auth = password.read_text().strip()
        check_closed(found[1], auth)

        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        assert len(auth) > 40
        assert auth not in log.read_text()
        listed = subprocess.run(
            [PREFECT, "deployment", "ls"],
            env=environment(embedded=True, PREFECT_API_URL=found[1], PREFECT_API_AUTH_STRING=auth, COLUMNS="200"),
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert "reconcile/reconcile" in listed.stdout
        commands = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        assert auth not in commands


@pytest.mark.chaos
def test_f73_the_server_of_deployments_is_closed_and_marrow_deploys_to_it_by_the_file(tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    secret = tmp_path / "prefect.auth"
    secret.write_text("marrow:a-password-of-the-test\n")
    secret.chmod(0o600)
    env = environment(
        embedded=True,
        PREFECT_HOME=str(tmp_path / "prefect"),
        PREFECT=str(PREFECT),
        PORT=str(port),
        PREFECT_SERVER_API_AUTH_STRING_FILE=str(secret),
    )
    (tmp_path / "prefect").mkdir()
    with process(PROJECT / "deployments" / "prefect-server", log=tmp_path / "server.log", env=env):
        wait_until(lambda: answers(f"{url}/health"), timeout_s=180, what="the Prefect server")
        check_closed(url, "marrow:a-password-of-the-test")
        client = environment(
            embedded=True,
            PREFECT_HOME=str(tmp_path / "client"),
            PREFECT_API_URL=url,
            PREFECT_API_AUTH_STRING_FILE=str(secret),
        )
        deployed = subprocess.run(
            [MARROW, "deploy", "--home", tmp_path / "home"],
            env=client,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert deployed.returncode == 0, deployed.stderr
    said = deployed.stdout + deployed.stderr + (tmp_path / "server.log").read_text()
    assert "a-password-of-the-test" not in said
    assert json.dumps("a-password-of-the-test") not in said
