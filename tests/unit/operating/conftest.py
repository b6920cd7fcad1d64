"""A HOME with an empty warehouse: its migrations cost half a second, so they are applied once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from warehouse.connection import open_warehouse


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse without a row."""
    path = tmp_path_factory.mktemp("empty") / "marrow.duckdb"
    with open_warehouse(path):
        pass
    return path


@pytest.fixture
def root(tmp_path: Path, empty_warehouse: Path) -> Path:
    """A folder with ``home``, whose warehouse is empty, and ``inbox`` with a slide that nothing has to read."""
    (tmp_path / "home" / "warehouse").mkdir(parents=True)
    shutil.copyfile(empty_warehouse, tmp_path / "home" / "warehouse" / "marrow.duckdb")
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.tif").write_bytes(b"II*\0 any slide")
    (tmp_path / "inbox" / "manifest.csv").write_text("file,patient_id\na.tif,P1\n")
    return tmp_path
