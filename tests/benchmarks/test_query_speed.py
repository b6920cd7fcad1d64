"""What analysts ask of the published views, beside the same of one flat table; and every view on its own.

Millions of cells: ``BENCH_CELLS`` (10 by default; 100 takes a quarter of an hour and 20 GB of disk).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.benchmarks.conftest import Results
from tests.benchmarks.generated_warehouse import Size
from tests.benchmarks.measure import Cost, Job, absolute, ratio_of, run
from tests.benchmarks.querying import make

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

CELLS_A_SLIDE = 1000
MOST_WITH_ATTRIBUTES = 10
"""Millions of cells that have a morphology attribute as well; more take too long to make."""
RUNS = 3
LONGEST_S = 1.0


@pytest.fixture(scope="module")
def millions() -> int:
    return int(os.environ.get("BENCH_CELLS", "10"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, millions: int) -> Path:
    path = tmp_path_factory.mktemp("queries") / "marrow.duckdb"
    # Nothing asks for the list of probabilities: a short one keeps the file small.
    slides, attributes = millions * 1_000_000 // CELLS_A_SLIDE, 1 if millions <= MOST_WITH_ATTRIBUTES else 0
    make(path, Size(slides, CELLS_A_SLIDE, probabilities=2, attributes=attributes))
    return path


def test_questions_cost_what_a_flat_table_costs(published: Path, millions: int, results: Results) -> None:
    answers = [run(Job("tests.benchmarks.querying:ask", {"path": str(published)})).said for _ in range(RUNS)]
    for name in answers[0]:
        costs = {
            who: [Cost(answer[name][who]["wall_s"], answer[name][who]["cpu_s"], 0) for answer in answers]
            for who in ("ours", "flat")
        }
        results.add(
            ratio_of(f"query of {millions} million cells: {name}", costs, ours="ours", floor="flat", target=1.2)
        )


def test_every_view_answers_within_a_second(published: Path, millions: int, results: Results) -> None:
    answers = [run(Job("tests.benchmarks.querying:views", {"path": str(published)})).said for _ in range(RUNS)]
    slowest = max(answers[0], key=lambda view: answers[0][view])
    results.add(
        absolute(
            f"slowest view over {millions} million cells",
            [max(answer.values()) for answer in answers],
            unit="s",
            target=LONGEST_S,
            note=f"view {slowest}",
        )
    )
