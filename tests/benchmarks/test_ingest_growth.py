"""Time grows with the pixels of a slide, memory does not."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from tests.benchmarks import slides
from tests.benchmarks.conftest import RESULTS, Results
from tests.benchmarks.measure import Job, absolute, run
from tests.benchmarks.report import plot_growth

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

SIDES_PX = (4096, 8192, 16_384, 32_768)
SPARSE = ((32_768, 0.4), (141_312, 0.02), (282_624, 0.005))
"""Sides of 1, 20 and 80 gigapixels, and the share that was scanned: about as many tiles of each."""
MOST_MB = 250
STEEPEST = 1.1
"""Exponent of the pixels; 1 is a straight line."""


def ingest(source: Path, out: Path) -> Job:
    return Job("tests.benchmarks.work_ingest:ingest", {"source": str(source), "out": str(out)}, out)


def steepness(sizes: list[float], values: list[float]) -> float:
    """Exponent between the first size and the last."""
    return math.log(values[-1] / values[0]) / math.log(sizes[-1] / sizes[0])


def test_ingest_and_survey_of_a_full_slide_grow_with_its_pixels(results: Results, tmp_path: Path) -> None:
    sizes = [side * side / 1e9 for side in SIDES_PX]
    ingests, surveys = [], []
    warm = tmp_path / "warm"
    run(ingest(slides.flat_slide(4096), warm))
    for side in SIDES_PX:
        store = tmp_path / "store"
        ingests.append(run(ingest(slides.flat_slide(side), store)))
        surveys.append(run(Job("tests.benchmarks.work_ingest:survey", {"store": str(store), "warm": str(warm)})))
        shutil.rmtree(store)
    curves = {
        "ingest, CPU s": [cost.cpu_s for cost in ingests],
        "ingest, memory MB": [cost.peak_mb for cost in ingests],
        "survey, CPU s": [cost.cpu_s for cost in surveys],
        "survey, memory MB": [cost.peak_mb for cost in surveys],
    }
    plot_growth(RESULTS / "growth_ingest.png", "Slides full of cells, pyramid made", sizes, "gigapixels", curves)
    results.add(
        absolute("growth of ingest", [steepness(sizes, curves["ingest, CPU s"])], unit="exponent", target=STEEPEST),
        absolute("growth of survey", [steepness(sizes, curves["survey, CPU s"])], unit="exponent", target=STEEPEST),
        absolute("memory of ingest, 1 gigapixel full of cells", [ingests[-1].peak_mb], unit="MB", target=MOST_MB),
    )


def test_memory_of_an_ingest_is_the_same_for_one_and_for_eighty_gigapixels(results: Results, tmp_path: Path) -> None:
    sizes = [side * side / 1e9 for side, _ in SPARSE]
    costs = [
        run(ingest(slides.sparse_slide(side, scanned=share, cells=share / 2), tmp_path / "store"))
        for side, share in SPARSE
    ]
    curves = {"CPU s": [cost.cpu_s for cost in costs], "memory MB": [cost.peak_mb for cost in costs]}
    plot_growth(RESULTS / "growth_sparse.png", "Ingest of slides of as many tiles", sizes, "gigapixels", curves)
    results.add(
        *(
            absolute(f"memory of ingest, {size:.0f} gigapixels", [cost.peak_mb], unit="MB", target=MOST_MB)
            for size, cost in zip(sizes, costs, strict=True)
        )
    )
    assert costs[-1].said["bytes"] < 1.3 * costs[0].said["bytes"]
