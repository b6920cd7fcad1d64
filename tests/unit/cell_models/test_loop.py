import csv
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from marrow_models.networks.lattice import LatticeReLU, put_on_lattice
from marrow_models.training.loop import Effort, Run, layout_of, learning_rate_at, one_cycle, share_of_batch
from tests.unit.cell_models.learners import Interrupted, blurred_away, network

FIGURES = [0.3, 0.9, 0.5, 0.7, 0.8, 0.6]


def train(folder, steps=12, stop=None, every=4, seed=5, learner=None, validate=None, **effort):
    """Learn to blur; ``stop`` breaks off at that step, as a cut of the power would."""
    learner = learner or network()
    reports, calls = [], 0

    def loss(shared, _, rng):
        nonlocal calls
        calls += 1
        if stop is not None and calls > stop:
            raise Interrupted
        return blurred_away(shared, rng, 2)

    how = Effort(steps=steps, batch=2, learning_rate=1e-2, **effort)
    looked = None if validate is None else lambda: validate(learner)
    Run(folder, every=every).optimise(learner, loss, how, seed=seed, progress=reports.append, validate=looked)
    return learner, reports


def error_of(learner):
    """How far the network is from blurring pictures that it did not learn from, as a figure: larger is better."""
    with torch.random.fork_rng():
        torch.manual_seed(9)
        x = torch.randn(16, 1, 8, 8)
    return -float((learner(x) - nn.functional.avg_pool2d(x, 3, 1, 1)).square().mean())


def said(figures):
    """A validation that says these figures, one at a look."""
    waiting = iter(figures)
    return lambda learner: next(waiting)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def curve(folder):
    with (folder / "curve.csv").open(newline="") as file:
        return [(int(n), float(loss), float(figure) if figure else None) for n, loss, figure in csv.reader(file)]


def test_an_interrupted_training_ends_where_an_undisturbed_one_does(tmp_path):
    whole, _ = train(tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", stop=10)
    resumed, reports = train(tmp_path / "cut")
    assert same(whole, resumed)
    assert [r.number for r in reports] == [12]
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")


def test_with_a_validation_too_an_interrupted_training_ends_where_an_undisturbed_one_does(tmp_path):
    how = {"steps": 20, "every": 5, "evaluate_every": 3, "validate": error_of, "precision": "bfloat16"}
    whole, _ = train(tmp_path / "whole", **how)
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", stop=14, **how)
    resumed, _ = train(tmp_path / "cut", **how)
    assert same(whole, resumed)
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")
    states = [json.loads((tmp_path / name / "state.json").read_text()) for name in ("whole", "cut")]
    assert states[0] == states[1]


def test_a_finished_training_is_only_read_again(tmp_path):
    first, _ = train(tmp_path)
    again, reports = train(tmp_path, stop=0)
    assert same(first, again)
    assert reports == []


def test_a_finished_training_with_a_validation_is_read_as_its_best_and_not_judged_again(tmp_path):
    first, _ = train(tmp_path, validate=said(FIGURES), evaluate_every=2)
    again, reports = train(tmp_path, stop=0, validate=said([]), evaluate_every=2)
    assert same(first, again)
    assert reports == []


def test_another_seed_learns_otherwise(tmp_path):
    assert not same(train(tmp_path / "a", seed=1)[0], train(tmp_path / "b", seed=2)[0])


def test_the_loss_falls_and_is_written_as_a_curve(tmp_path):
    _, reports = train(tmp_path, steps=80, every=20)
    assert [r.number for r in reports] == [20, 40, 60, 80]
    assert reports[-1].loss < reports[0].loss
    assert curve(tmp_path) == [(r.number, pytest.approx(r.loss, abs=1e-6), None) for r in reports]


def test_checkpoints_hold_no_pickle(tmp_path):
    train(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "weights.safetensors",
        "optimiser.safetensors",
        "state.json",
        "curve.csv",
    }
    assert json.loads((tmp_path / "state.json").read_text())["step"] == 12


def test_a_validation_is_asked_at_its_steps_and_at_the_last_one(tmp_path):
    _, reports = train(tmp_path, steps=11, every=4, evaluate_every=3, validate=said(FIGURES))
    looks = [(r.number, r.figure) for r in reports if r.figure is not None]
    assert looks == [(3, 0.3), (6, 0.9), (9, 0.5), (11, 0.7)]
    assert [(n, figure) for n, _, figure in curve(tmp_path)] == [(r.number, r.figure) for r in reports]


def test_the_network_ends_with_its_best_weights_and_not_with_its_last(tmp_path):
    weights = []

    def validate(learner):
        weights.append({name: tensor.clone() for name, tensor in learner.state_dict().items()})
        return FIGURES[len(weights) - 1]

    learner, _ = train(tmp_path, steps=12, evaluate_every=2, validate=validate)
    assert len(weights) == 6
    kept = load_file(tmp_path / "best.safetensors")
    last = load_file(tmp_path / "weights.safetensors")
    for name, tensor in learner.state_dict().items():
        assert torch.equal(tensor, weights[1][name])
        assert torch.equal(tensor, kept[name])
        assert torch.equal(last[name], weights[5][name])
    assert not torch.equal(kept["0.weight"], last["0.weight"])


def test_a_figure_that_is_not_defined_is_never_the_best(tmp_path):
    learner, _ = train(tmp_path, steps=6, evaluate_every=2, validate=said([float("nan"), 0.2, float("nan")]))
    kept = load_file(tmp_path / "best.safetensors")
    assert torch.equal(kept["0.weight"], learner.state_dict()["0.weight"])
    assert json.loads((tmp_path / "state.json").read_text())["best"] == 0.2


def test_a_network_is_judged_as_it_will_be_used(tmp_path):
    rounds = put_on_lattice(network())
    seen = []

    def validate(learner):
        seen.append((learner.training, torch.is_grad_enabled(), [m.rounds for m in learner if hasattr(m, "rounds")]))
        return 1.0

    _, reports = train(
        tmp_path, steps=4, evaluate_every=2, validate=validate, learner=rounds, rounded_from=1.0, every=1
    )
    assert seen == [(False, False, [True])] * 2
    assert len(reports) == 4
    assert rounds.training


def test_without_better_figures_a_training_ends_early(tmp_path):
    _, reports = train(tmp_path, steps=100, evaluate_every=2, patience=2, validate=said([0.5, 0.7, 0.6, 0.7, 0.9]))
    assert [r.figure for r in reports if r.figure is not None] == [0.5, 0.7, 0.6, 0.7]
    assert reports[-1].number == 8


def test_without_patience_a_training_never_ends_early(tmp_path):
    _, reports = train(tmp_path, steps=12, evaluate_every=2, validate=said([0.9, 0.1, 0.1, 0.1, 0.1, 0.1]))
    assert reports[-1].number == 12


def test_a_resumed_training_counts_on_where_its_patience_was(tmp_path):
    how = {"steps": 100, "evaluate_every": 2, "patience": 3}
    with pytest.raises(Interrupted):
        train(tmp_path, stop=7, validate=said([0.5, 0.4, 0.4]), **how)
    _, reports = train(tmp_path, validate=said([0.45, 0.9, 0.9]), **how)
    assert [r.number for r in reports] == [8]
    # It gave up, and so it stays.
    _, reports = train(tmp_path, stop=0, validate=said([]), **how)
    assert reports == []


def test_activations_are_rounded_from_their_moment_on_and_ever_after(tmp_path):
    learner, rounded = put_on_lattice(network()), []

    def loss(shared, _, rng):
        rounded.append(next(m for m in shared.modules() if isinstance(m, LatticeReLU)).rounds)
        return blurred_away(shared, rng, 2)

    Run(tmp_path).optimise(learner, loss, Effort(steps=10, batch=2, rounded_from=0.6), seed=1)
    assert rounded == [False] * 6 + [True] * 4
    assert next(m for m in learner.modules() if isinstance(m, LatticeReLU)).rounds


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_network_computes_in_the_precision_that_was_asked_and_keeps_its_weights_in_float32(
    tmp_path, precision, dtype
):
    learner, seen = put_on_lattice(network()), set()
    learner[0].register_forward_hook(lambda module, given, result: seen.add(result.dtype))
    train(tmp_path, steps=10, every=10, learner=learner, precision=precision, rounded_from=0.5)
    assert seen == {dtype}
    assert {p.dtype for p in learner.parameters()} == {torch.float32}
    moments = load_file(tmp_path / "optimiser.safetensors")
    assert {tensor.dtype for tensor in moments.values()} == {torch.float32}
    assert all(bool(tensor.isfinite().all()) for tensor in moments.values())


def test_in_bfloat16_the_loss_falls_nearly_as_in_float32(tmp_path):
    ends = [
        train(tmp_path / precision, steps=80, every=20, precision=precision)[1][-1].loss
        for precision in ("float32", "bfloat16")
    ]
    assert ends[1] == pytest.approx(ends[0], rel=0.1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_refused_and_leaves_the_weights_alone(tmp_path, value):
    learner, calls = network(), []

    def loss(shared, _, rng):
        calls.append({name: p.detach().clone() for name, p in learner.named_parameters()})
        return blurred_away(shared, rng, 2) * (value if len(calls) == 7 else 1.0)

    with pytest.raises(FloatingPointError, match=r"step 7.*smaller learning rate"):
        Run(tmp_path, every=5).optimise(learner, loss, Effort(steps=10, batch=2), seed=1)
    assert all(torch.equal(p, calls[-1][name]) for name, p in learner.named_parameters())
    assert json.loads((tmp_path / "state.json").read_text())["step"] == 5


def test_a_huge_gradient_does_not_throw_the_weights_away(tmp_path):
    learner = network()
    start = learner[0].weight.detach().clone()
    Run(tmp_path).optimise(learner, lambda s, _, rng: 1e12 * blurred_away(s, rng, 2), Effort(steps=3, batch=2), seed=1)
    assert (learner[0].weight - start).abs().max() < 0.05


def test_the_learning_rate_rises_and_falls():
    rates = [one_cycle(part) for part in np.linspace(0, 1, 101)]
    top = int(np.argmax(rates))
    assert 0 < top < 30
    assert rates[top] == pytest.approx(1, abs=0.01)
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert 0 < rates[-1] < 0.001


def test_each_restart_begins_a_cycle_of_half_the_height():
    effort = Effort(steps=300, batch=1, learning_rate=0.8, restarts=(100, 200))
    rates = np.asarray([learning_rate_at(step, effort) for step in range(300)]).reshape(3, 100)
    assert rates.max(axis=1) == pytest.approx([0.8, 0.4, 0.2], rel=0.01)
    assert np.allclose(rates[1], rates[0] / 2)
    assert np.allclose(rates[2], rates[0] / 4)
    assert rates[:, -1].max() < 0.01 * 0.8


def test_one_process_takes_the_whole_batch():
    assert share_of_batch(48) == 48


class Noise:
    """Draws a batch of noise, and says in which process."""

    def __call__(self, rng):
        return torch.from_numpy(rng.normal(0, 1, (2, 1, 8, 8)).astype(np.float32)), os.getpid()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python 3.12 on forks
def test_examples_of_other_processes_are_those_that_a_step_draws_itself(tmp_path):
    ends = {}
    for workers in (0, 2):
        learner, drawn_by = network(), set()

        def loss(shared, examples, rng, drawn_by=drawn_by):
            x, process = examples
            drawn_by.add(process)
            noisy = x + 0.1 * torch.from_numpy(rng.normal(0, 1, x.shape).astype(np.float32))  # drawn after the examples
            return (shared(noisy) - x).square().mean()

        effort = Effort(steps=9, batch=2, learning_rate=1e-2, workers=workers)
        Run(tmp_path / f"{workers}").optimise(learner, loss, effort, seed=3, draw=Noise())
        ends[workers] = learner
        assert (os.getpid() in drawn_by) == (workers == 0)
    assert same(ends[0], ends[2])


def test_checkpoints_keep_their_distance_in_time_and_the_last_is_always_written(tmp_path):
    reports = []
    Run(tmp_path, every=2, least_s=3600).optimise(
        network(),
        lambda shared, _, rng: blurred_away(shared, rng, 2),
        Effort(steps=12, batch=2),
        seed=1,
        progress=reports.append,
    )
    assert [report.number for report in reports] == [2, 12]
    assert json.loads((tmp_path / "state.json").read_text())["step"] == 12


def test_a_training_that_is_done_is_read_without_its_moments(tmp_path):
    learner, _ = train(tmp_path)
    (tmp_path / "optimiser.safetensors").unlink()
    again, reports = train(tmp_path, learner=network())
    assert reports == []
    assert same(learner, again)


@pytest.mark.parametrize(
    ("channels", "kernel", "device", "layout"),
    [
        (8, 1, "cpu", torch.contiguous_format),
        (16, 1, "cpu", torch.channels_last),
        (8, 3, "cpu", torch.channels_last),
        (8, 1, "cuda", torch.channels_last),
    ],
)
def test_few_channels_before_a_strided_shortcut_do_not_lie_last_on_a_cpu(channels, kernel, device, layout):
    learner = nn.Sequential(nn.Conv2d(3, channels, 3), nn.Conv2d(channels, 16, kernel, stride=2))
    assert layout_of(learner, torch.device(device)) is layout
