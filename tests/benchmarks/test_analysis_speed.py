"""Detection and classification of a slide through the product, beside its two networks alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.drawn_slides import ingested
from tests.benchmarks.measure import Cost, Job, absolute, ratio_of, run, side_by_side
from tests.benchmarks.report import plot_growth

if TYPE_CHECKING:
    from tests.benchmarks.conftest import Results

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

FLOORS = "tests.benchmarks.floors_networks"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
CELLS = {"phantom": 600, "blood": 150}
"""Expected cells of the fields: some seconds of work each."""
WHOLE = 0
"""All fields, in the large pieces of a large slide."""
WHOLE_PX, WHOLE_CELLS = 8192, 2480
LEAST_THROUGHPUT = 0.92
LEAST_SHARE = 0.7
"""Decoding alone is a tenth of a fast network's time: what no second core takes over."""
LEAST_SPEED_UP = 1.8
MOST_MB = 600.0


def of_wall(cost: Cost) -> float:
    """Wall seconds."""
    return cost.wall_s


@pytest.mark.parametrize(("bundle", "cells"), [*CELLS.items(), ("phantom", WHOLE)])
def test_one_worker_is_as_fast_as_its_networks(results: Results, bundle: str, cells: int) -> None:
    """Reading, decoding, peaks and tables hide behind the networks."""
    slide = ingested() if cells else ingested(WHOLE_PX, WHOLE_CELLS)
    given = {"store": str(slide.store), "bundle": bundle, "cells": cells}
    work = bundle if cells else f"{bundle}, whole slide"
    jobs = {
        "networks": Job(f"{FLOORS}:bare_networks", given, environment=ONE_THREAD),
        "analysis": Job(f"{FLOORS}:analysis", given, environment=ONE_THREAD),
    }
    costs = side_by_side(jobs)
    names = {"ours": "networks", "floor": "analysis", "target": LEAST_THROUGHPUT, "lower_is_better": False}
    results.add(
        ratio_of(f"throughput of one worker, {work}", costs, of=of_wall, unit="s", note="networks / analysis", **names),
        # What else runs on the machine takes wall seconds from both, but more from the one with a second thread.
        ratio_of(
            f"networks in the CPU seconds of the computing thread, {work}",
            costs,
            of=lambda cost: cost.said["thread_s"],
            note="networks / analysis, without the reading thread",
            **names,
        ),
        ratio_of(
            f"networks in all CPU seconds, {work}",
            costs,
            note="networks / analysis, with the reading thread",
            **names | {"target": LEAST_SHARE},
        ),
        absolute(
            f"private memory of an analysis, {work}",
            [cost.peak_mb for cost in costs["analysis"]],
            unit="MiB",
            target=MOST_MB,
        ),
    )


def test_memory_that_is_kept_saves_time(results: Results) -> None:
    given = {"store": str(ingested().store), "bundle": "phantom", "cells": CELLS["phantom"]}
    as_dask = ONE_THREAD | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    jobs = {
        "kept": Job(f"{FLOORS}:analysis", given, environment=as_dask),
        "given back": Job(f"{FLOORS}:analysis_giving_back", given, environment=as_dask),
    }
    results.add(
        ratio_of(
            "freed memory kept by the worker", side_by_side(jobs, runs=2), ours="kept", floor="given back", target=0.9
        )
    )


def test_two_workers_are_nearly_twice_as_fast_as_one(results: Results) -> None:
    given = {"store": str(ingested(WHOLE_PX, WHOLE_CELLS).store), "bundle": "phantom", "cells": WHOLE}
    jobs = {
        str(number): Job(f"{FLOORS}:by_workers", given | {"workers": number}, environment=ONE_THREAD)
        for number in (1, 2)
    }
    costs = side_by_side(jobs, runs=2)
    assert len({cost.said["cells"] for runs in costs.values() for cost in runs}) == 1
    results.add(
        ratio_of(
            "speed-up of two workers",
            costs,
            ours="1",
            floor="2",
            of=lambda cost: cost.said["wall_s"],
            unit="s",
            target=LEAST_SPEED_UP,
            lower_is_better=False,
            note="one core each; one worker / two workers",
        ),
        absolute(
            "peak private memory of a Dask worker",
            [cost.said["private_mb"] for cost in costs["2"]],
            unit="MiB",
            target=MOST_MB,
        ),
    )


def test_time_grows_with_the_fields_and_memory_does_not(results: Results) -> None:
    from tests.benchmarks.conftest import RESULTS

    sizes = (1024, 2048, 4096, 6144)
    costs = []
    for side_px in sizes:
        store = ingested(side_px, round(620 * side_px**2 / 4096**2)).store
        given = {"store": str(store), "bundle": "phantom", "cells": 0}
        costs.append(run(Job(f"{FLOORS}:analysis", given, environment=ONE_THREAD)))
    cells = [cost.said["cells"] for cost in costs]
    plot_growth(
        RESULTS / "growth_analysis.png",
        "Analysis of all fields",
        cells,
        "cells",
        {"CPU s": [cost.cpu_s for cost in costs], "private MiB": [cost.peak_mb for cost in costs]},
    )
    slowest, first = costs[-1].cpu_s / cells[-1], costs[1].cpu_s / cells[1]
    results.add(
        absolute("CPU seconds a cell, 9 times the area", [slowest / first], unit="times", target=1.25),
        absolute("memory, 9 times the area", [costs[-1].peak_mb / costs[1].peak_mb], unit="times", target=1.25),
    )
