"""Publications over a history of nights, for benchmarks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd  # noqa: F401 - PyArrow imports it at its first array; the flow's process has it for the gates

from tests.benchmarks.generated_warehouse import SLIDES_A_NIGHT, Size, generate
from warehouse.connection import open_warehouse
from warehouse.publish import publish

CELLS_A_SLIDE = 1000
NIGHT = Size(SLIDES_A_NIGHT, CELLS_A_SLIDE, probabilities=34)


def history(home: Path, nights: int) -> None:
    """A warehouse of so many nights, published as it is after every night."""
    generate(home / "marrow.duckdb", Size(nights * SLIDES_A_NIGHT, CELLS_A_SLIDE, probabilities=34))
    for _ in range(2):  # after the second there is a file that the next one brings forward
        with open_warehouse(home / "marrow.duckdb") as warehouse:
            publish(warehouse, home / "published")


def publish_a_night(warehouse: Path, home: str, out: str = "") -> dict[str, Any]:
    """Publish what the last night added; what there is then."""
    with open_warehouse(warehouse) as opened:
        rows = publish(opened, Path(home) / "published").rows
    return {"cells": rows["cells"]}


def _add_a_night(home: str, out: str = "") -> Path:
    path = Path(home) / "marrow.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        slides = len(connection.table("dim_slide"))
    generate(path, NIGHT, first_slide=slides)
    return path


publish_a_night.prepare = _add_a_night  # type: ignore[attr-defined]


def publish_all(warehouse: Path, home: str, out: str) -> dict[str, Any]:
    """Publish a warehouse for the first time."""
    with open_warehouse(warehouse) as opened:
        rows = publish(opened, Path(out)).rows
    return {"cells": rows["cells"]}


publish_all.prepare = lambda home, out: Path(home) / "marrow.duckdb"  # type: ignore[attr-defined]


def what_readers_see(published: Path, target: Path) -> None:
    """The present publication without what is kept beside it, for a copy of the same bytes."""
    target.mkdir()
    os.link(published / "marrow.duckdb", target / "marrow.duckdb")
    shutil.copytree(published / "parquet", target / "parquet", copy_function=os.link)
