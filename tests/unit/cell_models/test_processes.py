"""A training shared by two real processes, as torchrun starts them, over gloo."""

import json
from datetime import timedelta

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed, multiprocessing, nn

from marrow_models.training.loop import Effort, Run, share_of_batch
from tests.unit.cell_models.learners import Interrupted, blurred_away, network

pytestmark = pytest.mark.slow

EFFORT = Effort(steps=12, batch=6, learning_rate=1e-2)
LOOKS = Effort(steps=40, batch=6, learning_rate=1e-2, evaluate_every=4, patience=2)


def plain():
    """Without batch normalisation, whose statistics each process takes of its own share."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))


def train(folder, learner, effort, rank, *, validate=None, stop=None):
    """Train in this process; how large its shares of the batches were, and at which steps it reported."""
    shares, reports = [], []

    def loss(shared, _, rng):
        if stop is not None and len(shares) >= stop:
            raise Interrupted
        shares.append(share_of_batch(effort.batch))
        return blurred_away(shared, rng, shares[-1])

    try:
        Run(folder, every=4).optimise(learner, loss, effort, seed=3, progress=reports.append, validate=validate)
    except Interrupted:
        return shares, []
    save_file({k: v.contiguous() for k, v in learner.state_dict().items()}, folder / f"of-{rank}.safetensors")
    return shares, [report.number for report in reports]


def work(rank, folder):
    torch.set_num_threads(1)
    # Processes that wait for each other in vain fail, and do not hang.
    wait = timedelta(seconds=300)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2, timeout=wait
    )
    calls = []

    def validate():
        calls.append(rank)
        return [0.5, 0.9, 0.8, 0.7][len(calls) - 1] if rank == 0 else float(len(calls))

    notes = {
        "plain": train(folder / "plain", plain(), EFFORT, rank),
        "normalised": train(folder / "normalised", network(), EFFORT, rank),
        "looked": train(folder / "looked", network(), LOOKS, rank, validate=validate),
        "cut": train(folder / "resumed", network(), EFFORT, rank, stop=6),
        "resumed": train(folder / "resumed", network(), EFFORT, rank),
        "calls": calls,
    }
    (folder / f"notes-{rank}.json").write_text(json.dumps(notes))
    distributed.barrier()  # neither takes its ends of the connections away while the other still speaks
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(work, (folder,), nprocs=2)
    return folder, [json.loads((folder / f"notes-{rank}.json").read_text()) for rank in (0, 1)]


def weights(folder, rank):
    return load_file(folder / f"of-{rank}.safetensors")


@pytest.mark.parametrize("name", ["plain", "normalised", "looked", "resumed"])
def test_both_processes_end_with_the_same_network(shared, name):
    first, second = (weights(shared[0] / name, rank) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[key]) for key, tensor in first.items())


def test_two_processes_do_what_one_does_with_all_of_the_examples(shared, tmp_path):
    both = plain()

    def loss(learner, _, rng):
        other = np.random.default_rng([*rng.bit_generator.seed_seq.entropy, 1])
        return (blurred_away(learner, rng, 3) + blurred_away(learner, other, 3)) / 2

    Run(tmp_path).optimise(both, loss, EFFORT, seed=3)
    ended = weights(shared[0] / "plain", 0)
    start = plain().state_dict()
    for key, tensor in both.state_dict().items():
        assert torch.allclose(tensor, ended[key], atol=1e-4)
        assert (tensor - start[key]).abs().max() > 0.01


def test_each_process_takes_half_of_every_batch(shared):
    for note in shared[1]:
        assert note["plain"][0] == [3] * EFFORT.steps


def test_the_first_process_alone_reports_judges_and_writes(shared):
    folder, (first, second) = shared
    assert first["plain"][1] == [4, 8, 12]
    assert second["plain"][1] == []
    assert first["calls"] == [0] * 4
    assert second["calls"] == []
    assert len((folder / "plain" / "curve.csv").read_text().splitlines()) == 3


def test_both_processes_lose_patience_at_the_same_step_and_end_with_the_best_weights(shared):
    folder, notes = shared
    assert [len(note["looked"][0]) for note in notes] == [16, 16]
    best = load_file(folder / "looked" / "best.safetensors")
    assert all(torch.equal(tensor, best[key]) for key, tensor in weights(folder / "looked", 1).items())


def test_two_interrupted_processes_end_where_undisturbed_ones_do(shared):
    folder, notes = shared
    assert [len(note["resumed"][0]) for note in notes] == [8, 8]
    whole, resumed = (weights(folder / name, 0) for name in ("normalised", "resumed"))
    assert [key for key, tensor in whole.items() if not torch.equal(tensor, resumed[key])] == []
