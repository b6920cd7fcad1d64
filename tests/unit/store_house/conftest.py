"""A warehouse for each test, with one night that has begun."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.unit.store_house.factories import begin_night
from warehouse.connection import Warehouse, open_warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def begun_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse in which a night has begun: made once, since its migrations cost half a second."""
    path = tmp_path_factory.mktemp("template") / "marrow.duckdb"
    with open_warehouse(path) as warehouse:
        begin_night(warehouse)
    return path


@pytest.fixture
def warehouse(begun_night: Path, tmp_path: Path) -> Iterator[Warehouse]:
    path = tmp_path / "home" / "marrow.duckdb"
    path.parent.mkdir()
    shutil.copyfile(begun_night, path)
    with open_warehouse(path) as opened:
        yield opened
