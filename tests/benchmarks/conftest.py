"""Collects the figures of all benchmarks of a run: ``results/benchmarks.json``, ``.md``, and plots over sizes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.benchmarks.measure import Figure, as_json, machine
from tests.benchmarks.report import table_of, worse_than_committed

RESULTS = Path(__file__).parents[2] / "benchmarks"
"""Not committed; what is committed is ``docs/benchmarks.json``."""
COMMITTED = Path(__file__).parents[2] / "docs" / "benchmarks.json"


@dataclass
class Results:
    """The figures of this run, and what was measured over sizes."""

    figures: list[Figure] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)
    """What is worse than the committed figure by more than its noise, in words."""

    def add(self, *figures: Figure) -> None:
        """Keep ``figures`` and print them."""
        self.figures += figures
        sys.stdout.write(f"\n{table_of(figures)}\n")
        self.worse += worse_than_committed(figures, COMMITTED, machine()["cpu"])


_RESULTS = Results()


@pytest.fixture
def results(all_results: Results) -> Iterator[Results]:
    """Where a benchmark leaves its figures. It fails in the end, with all measured, where one of them is worse."""
    before = len(all_results.worse)
    yield all_results
    worse = all_results.worse[before:]
    assert not worse, "\n".join(worse)


@pytest.fixture(scope="session")
def all_results() -> Iterator[Results]:
    """The figures of all benchmarks, written down at the end."""
    RESULTS.mkdir(exist_ok=True)
    yield _RESULTS
    path = RESULTS / "benchmarks.json"
    kept = {}
    if path.exists():
        kept = {figure["name"]: figure for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]}
    kept |= {figure["name"]: figure for figure in as_json(_RESULTS.figures)}
    content = {"machine": machine(), "figures": list(kept.values())}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    figures = [Figure(**{k: v for k, v in figure.items() if k != "reached"}) for figure in kept.values()]
    (RESULTS / "benchmarks.md").write_text(table_of(figures) + "\n", encoding="utf-8")
