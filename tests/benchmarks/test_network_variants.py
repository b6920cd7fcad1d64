"""The networks themselves: ways to run them on a CPU, side by side with float32."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.drawn_slides import ingested
from tests.benchmarks.measure import Job, ratio_of, side_by_side

if TYPE_CHECKING:
    from tests.benchmarks.conftest import Results

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
LARGEST_LOSS = 0.002
EXACT = {"eager", "channels_first", "digits"}
"""Bit for bit the same, and so chosen without asking."""
SELDOM = {"compiled"}
"""Takes a minute to compile: only where BENCH_ALL is set."""


@pytest.mark.parametrize("bundle", ["phantom", "blood"])
def test_ways_to_run_the_networks(results: Results, bundle: str) -> None:
    from tests.benchmarks.variants import VARIANTS, is_here

    slide = ingested()
    given = {"bundle": bundle, "store": str(slide.store), "inbox": str(slide.inbox)}
    # The truth of a phantom is of cells that only its own bundle knows.
    given |= {"cells": 300 if bundle == "phantom" else 0}
    chosen = [name for name in VARIANTS if is_here(name) and (name not in SELDOM or "BENCH_ALL" in os.environ)]
    jobs = {
        name: Job("tests.benchmarks.variants:forward", given | {"variant": name}, environment=ONE_THREAD)
        for name in chosen
    }
    costs = side_by_side(jobs, runs=2)
    plain = costs["eager"][0].said
    for name in chosen:
        said = costs[name][0].said
        same = said["detector_equal"] and said["classifier_equal"]
        accuracy = {key: said[key] - plain[key] for key in ("ap50", "f1", "class_f1") if key in said}
        assert same or name not in EXACT
        for role in ("detector", "classifier"):
            lost = "bit for bit the same" if same else ", ".join(f"{k} {v:+.4f}" for k, v in accuracy.items())
            results.add(
                ratio_of(
                    f"{role} of {bundle}, {name}",
                    costs,
                    ours="eager",
                    floor=name,
                    of=lambda cost, role=role: cost.said[role],
                    target=1.3 if name == "digits" else 0.0,
                    lower_is_better=False,
                    note=f"eager / {name}; {lost or 'not the same'}",
                )
            )
        if same:
            assert all(abs(change) == 0 for change in accuracy.values())
