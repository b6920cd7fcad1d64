"""The simulation against what can be said without it."""

from __future__ import annotations

import pytest

from tests.benchmarks.simulate import Constants, most_workers, simulate

FREE = Constants(worker_s=60, flow_s=0, server_s=0, night_s=0, publish_s=0)
REAL = Constants(worker_s=60, flow_s=0.5, server_s=0.2, night_s=20, publish_s=0.01)


@pytest.mark.parametrize(("slides", "workers"), [(10, 1), (100, 4), (1000, 100)])
def test_without_stations_a_night_is_the_work_over_the_workers(slides: int, workers: int) -> None:
    assert simulate(slides, workers, FREE).seconds == pytest.approx(slides * 60 / workers)


def test_a_night_is_never_shorter_than_any_station() -> None:
    slides = 5000
    for workers in (1, 10, 100, 1000):
        night = simulate(slides, workers, REAL)
        assert night.seconds >= slides * 60 / workers
        assert night.seconds >= slides * 0.5
        assert all(share <= 1.0 + 1e-9 for share in night.busy.values())


def test_past_the_last_useful_worker_the_flow_is_what_saturates() -> None:
    assert most_workers(REAL) == pytest.approx(120)
    assert simulate(5000, 20, REAL).saturated == "workers"
    assert simulate(5000, 1000, REAL).saturated == "flow process"
    assert simulate(5000, 1000, REAL).seconds == pytest.approx(simulate(5000, 240, REAL).seconds, rel=0.05)
