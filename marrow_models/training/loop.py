"""The training loop that all networks share: AdamW on one cycle, a curve as CSV, and checkpoints to resume from.

Checkpoints are safetensors and JSON: nothing that is read back can execute code. Started by ``torchrun``, each process
takes its share of every batch and gradients are averaged between them (DistributedDataParallel).
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Dataset

from marrow_models.networks.lattice import round_activations

WARM_UP = 0.15
WEIGHT_DECAY = 1e-3
LARGEST_GRADIENT = 5.0
_SAFE_CHANNELS = 16
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
"""Name of a precision to the type of autocast; weights and their moments are float32 in all."""

Examples = Any
"""What a step looks at: tensors, or dictionaries and tuples of them."""
Loss = Callable[[nn.Module, Examples, np.random.Generator], Tensor]
Draw = Callable[[np.random.Generator], Examples]
"""Makes the examples of a step, on the CPU. With ``Effort.workers`` it is called in other processes."""


def nothing(rng: np.random.Generator) -> None:
    """The examples of a loss that draws its own."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how a network is trained."""

    steps: int
    batch: int
    """Examples a step, over all processes."""
    learning_rate: float = 3e-3
    """The largest of the cycle."""
    weight_decay: float = WEIGHT_DECAY
    precision: str = "float32"
    device: str = "cpu"
    rounded_from: float = 0.0
    """Part of the training after which activations are rounded as they will be in the bundle."""
    evaluate_every: int = 0
    """Steps between two looks at the validation data; 0: none."""
    restarts: tuple[int, ...] = ()
    """Steps at which the cycle of the learning rate begins anew, each time at half the height (Loshchilov and Hutter
    2017, arXiv:1608.03983)."""
    patience: int = 0
    """Looks without a better figure after which the training ends; 0: it never ends early."""
    workers: int = 0
    """Processes that draw the examples of the steps to come, no more than there are cores; 0: each step draws its own.
    What is drawn is the same."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training stands."""

    number: int
    steps: int
    loss: float
    """Mean over the steps since the last report."""
    figure: float | None = None
    """What the validation said, where it was asked: larger is better."""


class Run:
    """A training's folder: ``weights.safetensors``, ``optimiser.safetensors``, ``state.json`` and ``curve.csv``.

    With a validation, ``best.safetensors`` holds the weights of its best figure.
    """

    def __init__(self, folder: Path, *, every: int = 100, least_s: float = 0.0) -> None:
        """A checkpoint ``every`` so many steps, but none within ``least_s`` of the last one."""
        self.folder = folder
        self._every, self._least_s = every, least_s
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def began(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return has_begun(self.folder)

    def optimise(
        self,
        network: nn.Module,
        loss: Loss,
        effort: Effort,
        *,
        seed: int,
        draw: Draw = nothing,
        progress: Callable[[Step], None] = lambda step: None,
        validate: Callable[[], float] | None = None,
    ) -> None:
        """Take the steps of ``effort`` down ``loss``, or those that are left.

        Step i draws from a generator of the seed, i and the process: first its examples, then what the loss draws.
        ``network`` ends with its best weights by ``validate``, where that is asked, else with its last ones.
        """
        device = torch.device(effort.device)
        # Views are all of one size: cuDNN may look for its fastest algorithms once.
        torch.backends.cudnn.benchmark = device.type == "cuda"
        network.train().to(device, memory_format=layout_of(network, device))  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(network.parameters(), lr=effort.learning_rate, weight_decay=effort.weight_decay)
        state = self._resume(network, optimiser, effort.steps)
        shared, rank = _shared(network), _rank()
        losses: list[float] = []
        saved_at = -np.inf
        for number, examples, generator in _drawn(_Steps(draw, seed, rank, state["step"], effort.steps), effort):
            if _gave_up(state, effort):
                break
            for group in optimiser.param_groups:
                group["lr"] = learning_rate_at(number, effort)
            round_activations(network, on=number >= effort.rounded_from * effort.steps)
            with torch.autocast(
                device.type, dtype=PRECISIONS[effort.precision], enabled=PRECISIONS[effort.precision] is not None
            ):
                value = loss(shared, examples, generator)
            losses.append(float(value.detach()))
            if not np.isfinite(losses[-1]):
                raise FloatingPointError(f"the loss is not finite at step {number + 1}: use a smaller learning rate")
            _descend(network, optimiser, value)
            state["step"] = number + 1
            last = number + 1 == effort.steps
            figure = None
            if validate is not None and effort.evaluate_every and ((number + 1) % effort.evaluate_every == 0 or last):
                figure = self._look(network, validate, state)
            due = (number + 1) % self._every == 0 and time.monotonic() - saved_at >= self._least_s
            if due or last or figure is not None:
                saved_at = time.monotonic()
                step = Step(number + 1, effort.steps, float(np.mean(losses)), figure)
                losses.clear()
                if rank == 0:
                    self._save(network, optimiser, state, step)
                    progress(step)
        round_activations(network, on=True)
        best = self.folder / "best.safetensors"
        if rank == 0 and validate is not None and best.exists():
            network.load_state_dict(load_file(best))
        for tensor in network.state_dict().values():
            _from_first(tensor)
        network.to("cpu")

    def _look(self, network: nn.Module, validate: Callable[[], float], state: dict[str, Any]) -> float:
        """Validate in the first process; all go on with its figure, so that all give up together or none does."""
        found = torch.zeros(1, dtype=torch.float64, device=next(network.parameters()).device)
        if _rank() == 0:
            round_activations(network, on=True)
            network.eval()
            with torch.inference_mode():
                figure = float(validate())
            found.fill_(figure)
            network.train()
        figure = float(_from_first(found))
        if np.isfinite(figure) and (state["best"] is None or figure > state["best"]):
            state["best"], state["since"] = figure, 0
            if _rank() == 0:
                _save_tensors(self.folder / "best.safetensors", dict(network.state_dict()))
        else:
            state["since"] += 1
        return figure

    def _resume(self, network: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> dict[str, Any]:
        """Where the last checkpoint stands: step, best figure, looks since then."""
        if not self.began:
            return {"step": 0, "best": None, "since": 0}
        state = self.folder / "state.json"
        content: dict[str, Any] = {"best": None, "since": 0} | json.loads(state.read_text(encoding="utf-8"))
        network.load_state_dict(load_file(self.folder / "weights.safetensors"))
        if content["step"] >= steps:  # a training that is done needs no moments
            return content
        moments = load_file(self.folder / "optimiser.safetensors")
        for index, parameter in enumerate(network.parameters()):
            optimiser.state[parameter] = {
                name: moments[f"{index}.{name}"].to(parameter.device if name != "step" else "cpu")
                for name in ("step", "exp_avg", "exp_avg_sq")
            }
        return content

    def _save(self, network: nn.Module, optimiser: torch.optim.Optimizer, state: dict[str, Any], step: Step) -> None:
        moments = {
            f"{index}.{name}": value
            for index, parameter in enumerate(network.parameters())
            for name, value in optimiser.state[parameter].items()
        }
        _save_tensors(self.folder / "weights.safetensors", dict(network.state_dict()))
        _save_tensors(self.folder / "optimiser.safetensors", moments)
        partial = self.folder / "state.partial"
        partial.write_text(json.dumps(state | {"steps": step.steps}), encoding="utf-8")
        partial.replace(self.folder / "state.json")
        with (self.folder / "curve.csv").open("a", encoding="utf-8", newline="") as file:
            figure = "" if step.figure is None else f"{step.figure:.6f}"
            csv.writer(file).writerow([step.number, f"{step.loss:.6f}", figure])


def has_begun(folder: Path) -> bool:
    """Whether there is a checkpoint in the folder of a training."""
    return (folder / "state.json").exists()


def layout_of(network: nn.Module, device: torch.device) -> torch.memory_format:
    """How the images of a training lie in memory: channels last, the fastest, where that is safe.

    On a CPU with AVX-512, oneDNN 3.12 (PyTorch 2.13) writes beyond the gradient of a strided 1 x 1 convolution of few
    channels that lie last: memory is corrupted, and the process ends now or later.
    """
    strided = (
        m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and max(m.stride) > 1
    )
    unsafe = device.type == "cpu" and any(convolution.in_channels < _SAFE_CHANNELS for convolution in strided)
    return torch.contiguous_format if unsafe else torch.channels_last


def learning_rate_at(number: int, effort: Effort) -> float:
    """The learning rate of a step."""
    borders = [0, *effort.restarts, effort.steps]
    cycle = sum(number >= border for border in borders[1:-1])
    part = (number - borders[cycle]) / (borders[cycle + 1] - borders[cycle])
    return effort.learning_rate * 0.5**cycle * one_cycle(part)


def one_cycle(part: float) -> float:
    """Share of the largest learning rate after ``part`` of the training: up in a line, down in a cosine."""
    if part < WARM_UP:
        return 0.05 + 0.95 * part / WARM_UP
    return float(0.5 * (1 + np.cos(np.pi * (part - WARM_UP) / (1 - WARM_UP)))) + 1e-4


def share_of_batch(batch: int) -> int:
    """Examples that this process takes of a batch."""
    return max(1, batch // distributed.get_world_size()) if distributed.is_initialized() else batch


@dataclass(frozen=True)
class _Steps(Dataset[tuple[int, Examples, np.random.Generator]]):
    """The steps that are left: number, examples, and the generator for what the loss draws after them."""

    draw: Draw
    seed: int
    rank: int
    first: int
    end: int

    def __len__(self) -> int:
        return max(0, self.end - self.first)

    def __getitem__(self, index: int) -> tuple[int, Examples, np.random.Generator]:
        number = self.first + index
        generator = np.random.default_rng([self.seed, number, self.rank] if self.rank else [self.seed, number])
        return number, self.draw(generator), generator


def _drawn(steps: _Steps, effort: Effort) -> Iterator[tuple[int, Examples, np.random.Generator]]:
    """The steps in order, drawn by ``effort.workers`` processes, or here where that is 0."""
    workers = min(effort.workers, os.cpu_count() or 1, len(steps))
    # A generator of its own: the loader would take a number from the one that PyTorch drops features by.
    return iter(
        DataLoader(steps, batch_size=None, collate_fn=_as_it_is, num_workers=workers, generator=torch.Generator())
    )


def _as_it_is(step: Any) -> Any:
    return step


def _descend(network: nn.Module, optimiser: torch.optim.Optimizer, value: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    optimiser.step()


def _gave_up(state: dict[str, Any], effort: Effort) -> bool:
    return bool(effort.patience and state["since"] >= effort.patience)


def _rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def _from_first(tensor: Tensor) -> Tensor:
    """``tensor``, overwritten by that of the first process: normalisation, for one, counts in each on its own."""
    if distributed.is_initialized():
        distributed.broadcast(tensor, 0)
    return tensor


def _shared(network: nn.Module) -> nn.Module:
    if not distributed.is_initialized():
        return network
    return nn.parallel.DistributedDataParallel(network)


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    partial = path.with_suffix(".partial")
    save_file({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}, partial)
    partial.replace(path)
