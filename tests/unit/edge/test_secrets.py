"""Secrets come from files and are never shown."""

import os
import subprocess
import sys

import pytest

from flows.settings import read_secret_files
from marrow_models.errors import UserError

NAME = "PREFECT_API_AUTH_STRING"


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A secret file that the environment names."""
    file = tmp_path / "auth"
    file.write_text("marrow:opensesame\nnot this\n")
    file.chmod(0o600)
    monkeypatch.setenv(f"{NAME}_FILE", str(file))
    monkeypatch.delenv(NAME, raising=False)
    return file


def test_the_first_line_of_the_file_is_the_secret(named, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    read_secret_files()
    assert os.environ[NAME] == "marrow:opensesame"


def test_a_secret_that_is_given_itself_is_kept(named, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ) | {NAME: "other"})
    read_secret_files()
    assert os.environ[NAME] == "other"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o777])
def test_a_file_that_everybody_may_read_or_write_is_refused(named, mode):
    named.chmod(mode)
    with pytest.raises(UserError, match="0600") as refused:
        read_secret_files()
    assert "opensesame" not in str(refused.value)
    assert NAME not in os.environ


@pytest.mark.parametrize("content", [b"", b"\n", b"   \nsecond line"])
def test_a_file_without_a_secret_is_named(named, content):
    named.write_bytes(content)
    with pytest.raises(UserError, match=f"{NAME}_FILE: the file holds no secret"):
        read_secret_files()


def test_a_file_that_is_not_there_is_named_before_anything_starts(named, tmp_path):
    named.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "reconcile", "--home", tmp_path / "home"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"{NAME}_FILE: the file cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
