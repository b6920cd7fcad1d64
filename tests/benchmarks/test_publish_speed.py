"""Publishing after a night, beside a copy of everything that is published, over a short and a long history."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conftest import RESULTS, Results
from tests.benchmarks.generated_warehouse import SLIDES_A_NIGHT
from tests.benchmarks.measure import Job, absolute, ratio_of, side_by_side
from tests.benchmarks.publishing import CELLS_A_SLIDE, history, what_readers_see
from tests.benchmarks.report import plot_growth

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

NIGHTS = (2, 18, 180)
CELLS_A_NIGHT = SLIDES_A_NIGHT * CELLS_A_SLIDE
WORK = "tests.benchmarks.publishing:"


def test_a_publication_writes_the_night_and_not_the_history(tmp_path: Path, results: Results) -> None:
    cpu, wall, copied, whole = [], [], [], []
    for nights in NIGHTS:
        home = tmp_path / str(nights)
        history(home, nights)
        what_readers_see(home / "published", tmp_path / f"copy-of-{nights}")
        costs = side_by_side(
            {
                "copy of the files": Job(
                    "tests.benchmarks.floors_warehouse:copy_files",
                    {"source": str(tmp_path / f"copy-of-{nights}"), "out": str(tmp_path / "copied")},
                    tmp_path / "copied",
                ),
                "publish": Job(f"{WORK}publish_a_night", {"home": str(home)}),
            },
            runs=3,
        )
        cpu.append(sorted(cost.cpu_s for cost in costs["publish"])[1])
        wall.append(sorted(cost.wall_s for cost in costs["publish"])[1])
        copied.append(sorted(cost.cpu_s for cost in costs["copy of the files"])[1])
        cells = f"{nights * CELLS_A_NIGHT / 1e6:g} million cells"
        pair = {"ours": "publish", "floor": "copy of the files", "target": 1.5}
        work = f"publishing a night of 100,000 cells after {cells}"
        results.add(
            ratio_of(f"{work}, wall", costs, **pair, of=lambda cost: cost.wall_s, unit="s"),
            ratio_of(f"{work}, CPU", costs, **pair),
        )
        if nights == NIGHTS[0]:
            again = side_by_side(
                {
                    "copy of the files": Job(
                        "tests.benchmarks.floors_warehouse:copy_files",
                        {"source": str(tmp_path / f"copy-of-{nights}"), "out": str(tmp_path / "copied")},
                        tmp_path / "copied",
                    ),
                    "publish": Job(
                        f"{WORK}publish_all", {"home": str(home), "out": str(tmp_path / "anew")}, tmp_path / "anew"
                    ),
                },
                runs=1,
            )
            whole.append(ratio_of(f"first publication of {cells}", again, **pair))
    results.add(*whole)
    longer = NIGHTS[-1] / NIGHTS[0]
    results.add(
        absolute(
            f"publishing after {longer:g} times the history",
            [cpu[-1] / cpu[0]],
            unit="times the CPU",
            target=1.2,
            note="1 is independent of history",
        )
    )
    sizes = [nights * CELLS_A_NIGHT for nights in NIGHTS]
    plot_growth(
        RESULTS / "publishing.png",
        "Publishing a night of 100,000 cells",
        sizes,
        "cells published before",
        {"publishing, CPU s": cpu, "publishing, wall s": wall, "copy of all files, CPU s": copied},
    )
