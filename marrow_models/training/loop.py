"""The training loop that all networks share: AdamW on one cycle, a curve as CSV, and checkpoints to resume from.

Checkpoints are safetensors and JSON: nothing that is read back can execute code.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

WARM_UP = 0.15
WEIGHT_DECAY = 1e-3
LARGEST_GRADIENT = 5.0


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training stands."""

    number: int
    steps: int
    loss: float
    """Mean over the steps since the last report."""


class Run:
    """A training's folder: ``weights.safetensors``, ``optimiser.safetensors``, ``state.json`` and ``curve.csv``."""

    def __init__(self, folder: Path, *, every: int = 100) -> None:
        self.folder = folder
        self._every = every
        folder.mkdir(parents=True, exist_ok=True)

    def optimise(
        self,
        network: nn.Module,
        loss: Callable[[np.random.Generator], Tensor],
        *,
        steps: int,
        learning_rate: float,
        seed: int,
        progress: Callable[[Step], None],
    ) -> None:
        """Take ``steps`` steps down ``loss``, or those that are left. Step i draws from a generator of seed and i."""
        network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY)
        start = self._resume(network, optimiser)
        losses: list[float] = []
        for number in range(start, steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * one_cycle(number / steps)
            value = loss(np.random.default_rng([seed, number]))
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
            optimiser.step()
            losses.append(float(value.detach()))
            if (number + 1) % self._every == 0 or number + 1 == steps:
                step = Step(number + 1, steps, float(np.mean(losses)))
                losses.clear()
                self._save(network, optimiser, step)
                progress(step)

    def _resume(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> int:
        state = self.folder / "state.json"
        if not state.exists():
            return 0
        network.load_state_dict(load_file(self.folder / "weights.safetensors"))
        moments = load_file(self.folder / "optimiser.safetensors")
        for index, parameter in enumerate(network.parameters()):
            optimiser.state[parameter] = {
                name: moments[f"{index}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")
            }
        return int(json.loads(state.read_text(encoding="utf-8"))["step"])

    def _save(self, network: nn.Module, optimiser: torch.optim.Optimizer, step: Step) -> None:
        moments = {
            f"{index}.{name}": value.detach().clone().contiguous()
            for index, parameter in enumerate(network.parameters())
            for name, value in optimiser.state[parameter].items()
        }
        weights = {name: value.detach().clone().contiguous() for name, value in network.state_dict().items()}
        for name, tensors in (("weights", weights), ("optimiser", moments)):
            partial = self.folder / f"{name}.partial"
            save_file(tensors, partial)
            partial.replace(self.folder / f"{name}.safetensors")
        state = self.folder / "state.partial"
        state.write_text(json.dumps({"step": step.number, "steps": step.steps}), encoding="utf-8")
        state.replace(self.folder / "state.json")
        with (self.folder / "curve.csv").open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow([step.number, f"{step.loss:.6f}"])


def one_cycle(part: float) -> float:
    """Share of the largest learning rate after ``part`` of the training: up in a line, down in a cosine."""
    if part < WARM_UP:
        return 0.05 + 0.95 * part / WARM_UP
    return float(0.5 * (1 + np.cos(np.pi * (part - WARM_UP) / (1 - WARM_UP)))) + 1e-4
