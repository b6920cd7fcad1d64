"""A very small network and something for it to learn, also for processes that are started for a test."""

import numpy as np
import torch
from torch import nn


class Interrupted(Exception):
    pass


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


def blurred_away(learner, rng: np.random.Generator, batch: int):
    """How far ``learner`` is from a blur of three pixels, on fresh noise."""
    x = torch.from_numpy(rng.normal(0, 1, (batch, 1, 8, 8)).astype(np.float32))
    return (learner(x).float() - nn.functional.avg_pool2d(x, 3, 1, 1)).square().mean()
