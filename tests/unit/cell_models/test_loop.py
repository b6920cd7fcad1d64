import csv
import json

import numpy as np
import pytest
import torch
from torch import nn

from marrow_models.training.loop import Run, one_cycle


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


class Interrupted(Exception):
    pass


def train(folder, steps=12, stop=None, every=4, seed=5):
    """Learn to blur; ``stop`` breaks off at that step, as a cut of the power would."""
    learner, reports = network(), []
    calls = 0

    def loss(rng):
        nonlocal calls
        calls += 1
        if stop is not None and calls > stop:
            raise Interrupted
        x = torch.from_numpy(rng.normal(0, 1, (2, 1, 8, 8)).astype(np.float32))
        return (learner(x) - nn.functional.avg_pool2d(x, 3, 1, 1)).square().mean()

    Run(folder, every=every).optimise(
        learner, loss, steps=steps, learning_rate=1e-2, seed=seed, progress=reports.append
    )
    return learner, reports


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_an_interrupted_training_ends_where_an_undisturbed_one_does(tmp_path):
    whole, _ = train(tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", stop=10)
    resumed, reports = train(tmp_path / "cut")
    assert same(whole, resumed)
    assert [r.number for r in reports] == [12]


def test_a_finished_training_is_only_read_again(tmp_path):
    first, _ = train(tmp_path)
    again, reports = train(tmp_path, stop=0)
    assert same(first, again)
    assert reports == []


def test_another_seed_learns_otherwise(tmp_path):
    assert not same(train(tmp_path / "a", seed=1)[0], train(tmp_path / "b", seed=2)[0])


def test_the_loss_falls_and_is_written_as_a_curve(tmp_path):
    _, reports = train(tmp_path, steps=80, every=20)
    assert [r.number for r in reports] == [20, 40, 60, 80]
    assert reports[-1].loss < reports[0].loss
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.reader(file))
    assert [(int(n), float(v)) for n, v in rows] == [(r.number, pytest.approx(r.loss, abs=1e-6)) for r in reports]


def test_checkpoints_hold_no_pickle(tmp_path):
    train(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "weights.safetensors",
        "optimiser.safetensors",
        "state.json",
        "curve.csv",
    }
    assert json.loads((tmp_path / "state.json").read_text())["step"] == 12


def test_the_learning_rate_rises_and_falls():
    rates = [one_cycle(part) for part in np.linspace(0, 1, 101)]
    top = int(np.argmax(rates))
    assert 0 < top < 30
    assert rates[top] == pytest.approx(1, abs=0.01)
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert 0 < rates[-1] < 0.001
