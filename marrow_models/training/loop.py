"""The training loop that all networks share: AdamW on one cycle, a curve as CSV, and checkpoints to resume from.

Checkpoints are safetensors and JSON: nothing that is read back can execute code. Started by ``torchrun``, each process
takes its share of every batch and gradients are averaged between them (DistributedDataParallel).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn

from marrow_models.networks.lattice import round_activations

WARM_UP = 0.15
WEIGHT_DECAY = 1e-3
LARGEST_GRADIENT = 5.0
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
"""Name of a precision to the type of autocast; weights and their moments are float32 in all."""

Loss = Callable[[nn.Module, np.random.Generator], Tensor]


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

    def __init__(self, folder: Path, *, every: int = 100) -> None:
        self.folder = folder
        self._every = every
        folder.mkdir(parents=True, exist_ok=True)

    def optimise(
        self,
        network: nn.Module,
        loss: Loss,
        effort: Effort,
        *,
        seed: int,
        progress: Callable[[Step], None] = lambda step: None,
        validate: Callable[[], float] | None = None,
    ) -> None:
        """Take the steps of ``effort`` down ``loss``, or those that are left.

        Step i draws from a generator of the seed, i and the process. ``network`` ends with its best weights by
        ``validate``, where that is asked, else with its last ones.
        """
        device = torch.device(effort.device)
        network.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(network.parameters(), lr=effort.learning_rate, weight_decay=effort.weight_decay)
        state = self._resume(network, optimiser)
        shared, rank = _shared(network), _rank()
        losses: list[float] = []
        for number in range(state["step"], effort.steps):
            if _gave_up(state, effort):
                break
            for group in optimiser.param_groups:
                group["lr"] = learning_rate_at(number, effort)
            round_activations(network, on=number >= effort.rounded_from * effort.steps)
            generator = np.random.default_rng([seed, number, rank] if rank else [seed, number])
            with torch.autocast(
                device.type, dtype=PRECISIONS[effort.precision], enabled=PRECISIONS[effort.precision] is not None
            ):
                value = loss(shared, generator)
            losses.append(float(value.detach()))
            if not np.isfinite(losses[-1]):
                raise FloatingPointError(f"the loss is not finite at step {number + 1}: use a smaller learning rate")
            _descend(network, optimiser, value)
            state["step"] = number + 1
            last = number + 1 == effort.steps
            figure = None
            if validate is not None and effort.evaluate_every and ((number + 1) % effort.evaluate_every == 0 or last):
                figure = self._look(network, validate, state)
            if (number + 1) % self._every == 0 or last or figure is not None:
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

    def _resume(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """Where the last checkpoint stands: step, best figure, looks since then."""
        state = self.folder / "state.json"
        if not state.exists():
            return {"step": 0, "best": None, "since": 0}
        network.load_state_dict(load_file(self.folder / "weights.safetensors"))
        moments = load_file(self.folder / "optimiser.safetensors")
        for index, parameter in enumerate(network.parameters()):
            optimiser.state[parameter] = {
                name: moments[f"{index}.{name}"].to(parameter.device if name != "step" else "cpu")
                for name in ("step", "exp_avg", "exp_avg_sq")
            }
        content: dict[str, Any] = json.loads(state.read_text(encoding="utf-8"))
        return {"best": None, "since": 0} | content

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
