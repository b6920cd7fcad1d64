"""A figure is compared with the committed one where that says something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.measure import Figure, as_json
from tests.benchmarks.report import worse_than_committed


def figure(ratio: float, *, floor: float | None = 1.0, higher: bool = False) -> Figure:
    return Figure("work", "s", ratio, floor, "floor", ratio, 2.0, lower_is_better=not higher)


def committed(folder: Path, before: Figure) -> Path:
    path = folder / "benchmarks.json"
    path.write_text(json.dumps({"machine": {"cpu": "one"}, "figures": as_json([before])}), encoding="utf-8")
    return path


@pytest.mark.parametrize(("now", "worse"), [(1.1, False), (1.3, True), (0.5, False)])
def test_a_ratio_may_move_within_its_noise(tmp_path: Path, now: float, worse: bool) -> None:
    for cpu in ("one", "another"):
        assert bool(worse_than_committed([figure(now)], committed(tmp_path, figure(1.0)), cpu)) == worse


def test_where_more_is_better_less_is_worse(tmp_path: Path) -> None:
    path = committed(tmp_path, figure(1.0, higher=True))
    assert worse_than_committed([figure(0.7, higher=True)], path, "one")
    assert not worse_than_committed([figure(1.5, higher=True)], path, "one")


def test_seconds_of_another_kind_of_machine_are_not_compared(tmp_path: Path) -> None:
    path = committed(tmp_path, figure(1.0, floor=None))
    assert worse_than_committed([figure(3.0, floor=None)], path, "one")
    assert not worse_than_committed([figure(3.0, floor=None)], path, "another")


def test_new_work_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    assert not worse_than_committed([figure(9.0)], tmp_path / "nothing.json", "one")
