"""The differential of a patient: 500 cells from an ingested slide, on two cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.drawn_slides import ingested
from tests.benchmarks.measure import Job, absolute, side_by_side

if TYPE_CHECKING:
    from tests.benchmarks.conftest import Results

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

TARGET_CELLS = 500
LONGEST_S = 60.0
PEERS = "AIFORIA 260 s a slide; Wang et al. 44 s on 2 GPUs"


@pytest.mark.parametrize("bundle", ["phantom", "blood"])
def test_five_hundred_cells_take_less_than_a_minute(results: Results, bundle: str) -> None:
    store = ingested(6144, 1400).store
    jobs = {
        how: Job(
            "tests.benchmarks.floors_networks:differential",
            {"store": str(store), "bundle": bundle, "target": TARGET_CELLS, "warm": how == "warm"},
        )
        for how in ("cold", "warm")
    }
    costs = side_by_side(jobs, runs=2)
    for how, runs in costs.items():
        assert all(cost.said["counted"] >= TARGET_CELLS for cost in runs)
        results.add(
            absolute(
                f"differential of {TARGET_CELLS} cells, {bundle}, {how} workers",
                [cost.said["wall_s"] for cost in runs],
                unit="s",
                target=LONGEST_S,
                note=f"{runs[0].said['fields']} fields, {runs[0].said['cells']} cells; {PEERS}",
            )
        )
