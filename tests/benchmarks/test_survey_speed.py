"""The survey of a slide of 20 gigapixels beside the reading of its low-power level."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrow_models.pyramid.ingest import ingest_slide
from tests.benchmarks import slides
from tests.benchmarks.conftest import Results
from tests.benchmarks.measure import Job, absolute, ratio_of, run, side_by_side

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

SIDE_PX = 141_312
FLOOR = "decoding of its low-power level"


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store that is surveyed before the clock starts."""
    store = tmp_path_factory.mktemp("warm") / "s.ome.zarr"
    source = slides.tiled_slide(4096, pyramid=False)
    ingest_slide(source, (source,), store, um_per_px=None)
    return store


@pytest.mark.parametrize("cells", [0.005, 0.03])
def test_a_mostly_empty_slide_costs_its_low_power_level(
    results: Results, tmp_path: Path, warm: Path, cells: float
) -> None:
    """12 % of the slide was scanned; ``cells`` is the share of it that shows a smear, the rest is bare glass."""
    source, store = slides.sparse_slide(SIDE_PX, scanned=0.12, cells=cells), tmp_path / "s.ome.zarr"
    ingest_slide(source, (source,), store, um_per_px=None)
    arguments = {"store": str(store), "warm": str(warm)}
    jobs = {
        FLOOR: Job("tests.benchmarks.floors_ingest:read_low_power", {"store": str(store)}),
        "ours": Job("tests.benchmarks.work_ingest:survey", arguments),
    }
    costs = side_by_side(jobs)
    fields = costs["ours"][0].said["fields"]
    name = f"survey of 20 gigapixels, 12 % scanned, {cells:.1%} smear"
    results.add(
        ratio_of(name, costs, ours="ours", floor=FLOOR, target=1.5, note=f"{fields} readable fields"),
        absolute(f"{name}: memory", [cost.peak_mb for cost in costs["ours"]], unit="MB", target=400),
    )
    plain = run(Job("tests.benchmarks.work_ingest:survey", arguments | {"plain": True}))
    assert plain.said == costs["ours"][0].said
    both = {"ours": [costs["ours"][0]], "field by field": [plain]}
    results.add(ratio_of(f"{name}, beside the plain one", both, ours="ours", floor="field by field", target=0.5))
