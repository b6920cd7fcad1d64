"""The embedded server ends with the process that began it, however that one ends."""

import os
import signal
import subprocess
import sys
import time

import psutil

_NIGHT = """
import os, sys
os.environ |= {"PREFECT_HOME": sys.argv[1], "PREFECT_SERVER_UI_ENABLED": "false"}
from flows.prefect_server import embedded_server
with embedded_server(wanted=True) as ready:
    ready()
    print("up", flush=True)
    sys.stdin.readline()
"""


def _begun(home):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    night = subprocess.Popen([sys.executable, "-c", _NIGHT, home], **pipes)
    assert night.stdout.readline() == "up\n"
    (server,) = psutil.Process(night.pid).children()
    return night, server


def test_the_server_of_a_killed_process_ends_too(tmp_path):
    night, server = _begun(tmp_path)
    os.kill(night.pid, signal.SIGKILL)
    night.communicate()
    server.wait(timeout=20)


def test_the_server_ends_with_its_block(tmp_path):
    night, server = _begun(tmp_path)
    began = time.monotonic()
    night.communicate("\n", timeout=60)
    assert night.returncode == 0
    assert not server.is_running()
    assert time.monotonic() - began < 30
