"""How long a command takes to answer, beyond what the interpreter takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conftest import Results
from tests.benchmarks.generated_warehouse import Size, generate
from tests.benchmarks.measure import Job, absolute, side_by_side

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

START = "tests.benchmarks.starting:start"
RUNS = 7


def test_help_and_status_answer_at_once(tmp_path: Path, results: Results) -> None:
    home = tmp_path / "home"
    (home / "published").mkdir(parents=True)
    generate(home / "published" / "marrow.duckdb", Size(100, 100, probabilities=4), published=True)
    costs = side_by_side(
        {
            "bare": Job(START, {"arguments": ["-c", "pass"]}),
            "help": Job(START, {"arguments": ["-m", "flows.cli", "--help"]}),
            "status": Job(START, {"arguments": ["-m", "flows.cli", "status", "--home", str(home)]}),
        },
        runs=RUNS,
    )
    for name, target in (("help", 0.3), ("status", 1.0)):
        for of, unit in (("wall_s", "s"), ("cpu_s", "CPU s")):
            more = [getattr(a, of) - getattr(b, of) for a, b in zip(costs[name], costs["bare"], strict=True)]
            results.add(absolute(f"marrow {name} beyond python -c pass, {unit}", more, unit=unit, target=target))
