"""Analysis on a GPU beside its networks alone in bfloat16. Runs only where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests.benchmarks.drawn_slides import ingested
from tests.benchmarks.measure import Job, ratio_of, side_by_side

if TYPE_CHECKING:
    from tests.benchmarks.conftest import Results

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

FLOORS = "tests.benchmarks.floors_networks"
LEAST_THROUGHPUT = 0.85


@pytest.mark.parametrize("bundle", ["phantom", "blood"])
def test_a_gpu_is_kept_busy(results: Results, bundle: str) -> None:
    given = {"store": str(ingested(6144, 1400).store), "bundle": bundle, "cells": 0}
    jobs = {
        "networks": Job(f"{FLOORS}:bare_networks", given | {"precision": "bfloat16"}),
        "analysis": Job(f"{FLOORS}:analysis", given),
    }
    results.add(
        ratio_of(
            f"throughput on a GPU, {bundle}",
            side_by_side(jobs),
            ours="networks",
            floor="analysis",
            of=lambda cost: cost.wall_s,
            unit="s",
            target=LEAST_THROUGHPUT,
            lower_is_better=False,
            note="networks in bfloat16 / analysis in float32, whose sums stay exact",
        )
    )
