"""What a slide costs the warehouse, over the cells that it holds already."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conftest import RESULTS, Results
from tests.benchmarks.generated_warehouse import Size, generate
from tests.benchmarks.measure import Job, absolute, run
from tests.benchmarks.report import plot_growth

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200)]

SLIDES = (200, 800, 3200)
CELLS_A_SLIDE = 1000


def test_loading_a_slide_costs_the_same_after_any_history(tmp_path: Path, results: Results) -> None:
    costs = []
    for slides in SLIDES:
        path = tmp_path / str(slides) / "marrow.duckdb"
        generate(path, Size(slides, CELLS_A_SLIDE, probabilities=2))
        costs.append(run(Job("tests.benchmarks.loading:load_more", {"warehouse": str(path), "slides": 20})))
    cpu = [cost.cpu_s / 20 * 1000 for cost in costs]
    results.add(
        absolute(
            f"loading a slide after {SLIDES[-1] / SLIDES[0]:g} times the history",
            [cpu[-1] / cpu[0]],
            unit="times the CPU",
            target=1.2,
            note=f"{cpu[0]:.0f} and {cpu[-1]:.0f} CPU ms",
        )
    )
    plot_growth(
        RESULTS / "growth.png",
        "Loading a slide of 5,000 cells",
        [slides * CELLS_A_SLIDE for slides in SLIDES],
        "cells in the warehouse",
        {"CPU ms": cpu, "memory, MiB": [cost.peak_mb for cost in costs]},
    )
