"""Random fields read from a store beside the bare decoding of the tiles under them."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrow_models.pyramid.ingest import ingest_slide
from tests.benchmarks import slides
from tests.benchmarks.conftest import Results
from tests.benchmarks.measure import Job, ratio_of, side_by_side

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]


def test_a_field_costs_the_decoding_of_its_tiles(results: Results, tmp_path: Path) -> None:
    source, store = slides.tiled_slide(16_384, pyramid=True), tmp_path / "s.ome.zarr"
    ingest_slide(source, (source,), store, um_per_px=None)
    jobs = {
        "decoding of its tiles": Job("tests.benchmarks.floors_ingest:read_regions", {"source": str(source)}),
        "ours": Job("tests.benchmarks.work_ingest:read_regions", {"store": str(store)}),
    }
    costs = side_by_side(jobs, runs=11)
    names = {"ours": "ours", "floor": "decoding of its tiles", "target": 1.2}
    results.add(
        ratio_of("random 512 x 512 px", costs, **names, of=lambda cost: cost.said["cpu_ms"], unit="CPU ms"),
        ratio_of("random 512 x 512 px: wall", costs, **names, of=lambda cost: cost.said["wall_ms"], unit="ms"),
    )
