"""Loading a million cells, checked and with their counts, beside DuckDB reading the same Parquet into a bare table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conftest import Results
from tests.benchmarks.loading import write_cells
from tests.benchmarks.measure import Job, absolute, ratio_of, side_by_side

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200)]

CELLS = 1_000_000
SLIDES = 200


def test_a_million_cells_are_loaded_nearly_as_fast_as_duckdb_reads_them(tmp_path: Path, results: Results) -> None:
    source = tmp_path / "cells.parquet"
    write_cells(source, CELLS)
    bare, ours, many = tmp_path / "bare.duckdb", tmp_path / "ours", tmp_path / "many"
    costs = side_by_side(
        {
            "DuckDB reads the Parquet": Job(
                "tests.benchmarks.floors_warehouse:read_bare", {"parquet": str(source), "out": str(bare)}, bare
            ),
            "load": Job("tests.benchmarks.loading:load", {"parquet": str(source), "out": str(ours)}, ours),
            "load of many": Job(
                "tests.benchmarks.loading:load", {"parquet": str(source), "out": str(many), "slides": SLIDES}, many
            ),
        },
        runs=3,
    )
    assert {cost.said for runs in costs.values() for cost in runs} == {CELLS}
    pair = {"ours": "load", "floor": "DuckDB reads the Parquet", "target": 1.5}
    results.add(
        ratio_of("load of 1,000,000 cells, CPU", costs, **pair),
        ratio_of("load of 1,000,000 cells, wall", costs, **pair, of=lambda cost: cost.wall_s, unit="s"),
        ratio_of(
            "load of 1,000,000 cells, memory", costs, **(pair | {"target": 2}), of=lambda cost: cost.peak_mb, unit="MiB"
        ),
        absolute(
            "load of a slide of 5,000 cells",
            [cost.cpu_s / SLIDES * 1000 for cost in costs["load of many"]],
            unit="CPU ms",
            target=50,
        ),
    )
