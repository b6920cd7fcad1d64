"""Detection of a slide beside other engines with the same detector, where they are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.drawn_slides import ingested
from tests.benchmarks.measure import absolute, ratio_of, side_by_side
from tests.benchmarks.peers_detection import DETECTION, WITH_INGEST, jobs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.conftest import Results
    from tests.benchmarks.measure import Cost

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

SIDE_PX, CELLS = 8192, 2480
MOST_MB = 600.0
LEAST_FOUND = 0.9
"""Of the cells that a peer finds."""


def without_imports(cost: Cost) -> float:
    """CPU seconds; a peer says its own, those of its imports not among them."""
    return float(cost.said.get("cpu_s", cost.cpu_s))


def test_a_slide_takes_less_than_other_engines_need_for_it(results: Results, tmp_path: Path) -> None:
    slide = ingested(SIDE_PX, CELLS)
    (source,) = slide.inbox.glob("*.svs")
    work = jobs(source, slide.store, tmp_path, "phantom")
    if not work:
        pytest.skip("no Python of BENCH_PEERS has another engine")
    costs = side_by_side(work)
    ours = costs[DETECTION][0].said["cells"]
    results.add(
        absolute(
            "ingest and detection: memory",
            [cost.peak_mb for cost in costs[WITH_INGEST]],
            unit="MiB",
            target=MOST_MB,
            note=f"{ours} cells found",
        )
    )
    for peer in sorted(work.keys() - {DETECTION, WITH_INGEST}):
        cells, memory_mb = costs[peer][0].said["cells"], max(cost.peak_mb for cost in costs[peer])
        note = f"{cells} cells found by {peer}, {memory_mb:.0f} MiB"
        results.add(
            *(
                ratio_of(f"{done} beside {peer}", costs, ours=done, floor=peer, target=1, of=without_imports, note=note)
                for done in (DETECTION, WITH_INGEST)
            )
        )
        assert ours >= LEAST_FOUND * cells
