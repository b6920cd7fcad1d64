"""What Prefect and Dask cost: slides without work, real nights of tiny slides, and their stages without either."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conftest import RESULTS, Results
from tests.benchmarks.empty_slides import WARM
from tests.benchmarks.measure import Job, absolute, run
from tests.benchmarks.nights import phantoms
from tests.benchmarks.report import plot_growth

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

FEW, MANY = 2, 24
EMPTY_FEW, EMPTY_MANY = 50, 1000
AT = 100
"""Slides for which the share of orchestration is stated."""
REAL_SLIDE_S = 60.0
"""What the stages of a slide of ordinary size take at least (500 cells counted on two cores)."""


def test_a_slide_costs_little_beside_its_stages(tmp_path: Path, results: Results) -> None:
    inbox = tmp_path / "inbox"
    nights = {}
    for slides in (FEW, MANY):
        phantoms(inbox / str(slides), slides)
        nights[slides] = run(
            Job(
                "tests.benchmarks.nights:night",
                {"inbox": str(inbox / str(slides)), "home": str(tmp_path / f"home-{slides}")},
            )
        )
    bare = {
        slides: run(
            Job(
                "tests.benchmarks.nights:plain",
                {"inbox": str(inbox / str(slides)), "home": str(tmp_path / f"plain-{slides}")},
            )
        )
        for slides in (FEW, MANY)
    }
    assert nights[MANY].said["done"] == MANY
    assert sum(row["cells"] for row in nights[MANY].said["table"]) == bare[MANY].said["cells"]
    more = MANY - FEW
    start = nights[FEW].wall_s - nights[FEW].said["seconds_in_stages"]
    outside = {slides: found.said["seconds"] - found.said["seconds_in_stages"] for slides, found in nights.items()}
    a_slide = max(0.0, (outside[MANY] - outside[FEW]) / more)
    share = (outside[FEW] + a_slide * (AT - FEW)) / (AT * REAL_SLIDE_S)
    roles = {slides: found.said["cpu_by_role"] for slides, found in nights.items()}
    each = {role: (roles[MANY][role] - roles[FEW][role]) / more for role in roles[MANY]}
    results.add(
        absolute("flow process, a slide", [each["flow"]], unit="CPU s", target=0.5),
        absolute("Prefect server, a slide", [each["server"]], unit="CPU s", target=0.25),
        absolute(
            "stages of a tiny slide on workers", [each["workers"]], unit="CPU s", target=10, note="for the simulation"
        ),
        absolute("time of a night in no stage, a slide", [a_slide], unit="s", target=0.5),
        absolute(
            f"orchestration of {AT} slides",
            [share],
            unit="of the stages",
            target=0.03,
            note=f"stages of {REAL_SLIDE_S:.0f} s a slide",
        ),
        absolute("a night beyond its stages, imports and Prefect's start with it", [start], unit="s", target=15),
    )
    plot_growth(
        RESULTS / "orchestration.png",
        "A night of tiny slides",
        [FEW, MANY],
        "slides",
        {
            "night, CPU s": [nights[n].cpu_s for n in (FEW, MANY)],
            "stages alone, CPU s": [bare[n].cpu_s for n in (FEW, MANY)],
        },
    )


def test_slides_without_work_cost_little_and_the_same_however_many(tmp_path: Path, results: Results) -> None:
    sizes = (EMPTY_FEW, EMPTY_MANY)
    job = Job("tests.benchmarks.empty_slides:orchestrated", {"slides": sizes, "home": str(tmp_path / "home")})
    said = run(job).said
    assert said["runs"] == {"Completed": WARM + sum(sizes)}
    few, many = (sum(cost[role] for role in ("flow", "server", "workers")) for cost in said["costs"])
    each = said["costs"][-1]
    note = f"flow {each['flow']:.3f}, server {each['server']:.3f}, workers {each['workers']:.3f}"
    results.add(
        absolute("Prefect and Dask, a slide", [many], unit="CPU s", target=0.5, note=note),
        absolute(
            f"Prefect and Dask, a slide of {EMPTY_MANY} beside one of {EMPTY_FEW}",
            [many / few],
            unit="times the CPU",
            target=1.2,
            note="1 is flat",
        ),
    )
