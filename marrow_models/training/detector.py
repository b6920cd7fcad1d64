"""Training the detector.

Losses after "objects as points" (Zhou, Wang, Krahenbuhl 2019, arXiv:1904.07850): a focal loss on the centre map with
less weight around true centres, and an L1 loss on offset and size at the centres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from marrow_models.detection import BOX_UNIT_PX
from marrow_models.networks.heatmap import OUTPUT_STRIDE_PX, HeatmapNet
from marrow_models.networks.lattice import STEPS_PER_UNIT
from marrow_models.training.fields import FieldSet
from marrow_models.training.loop import Run, Step

SIZE_WEIGHT = 1.0
_PRIOR_POSITIVES = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """What the network should say of one image; maps at the output's resolution."""

    centre: NDArray[np.float32]
    """(h, w): 1 at a centre, falling off as a Gaussian around it."""
    box: NDArray[np.float32]
    """(4, h, w): offset and size in the units of the network."""
    positive: NDArray[np.bool_]
    """(h, w): a centre lies in this output cell."""
    counted: NDArray[np.bool_]
    """(h, w): False where nothing is held for or against the network."""


def reduced(images: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Average ``factor`` x ``factor`` pixels of (N, H, W, 3), as :mod:`marrow_models.pyramid.scale` does."""
    n, height, width, _ = images.shape
    sums = images.reshape(n, height // factor, factor, width // factor, factor, 3).sum(axis=(2, 4), dtype=np.uint32)
    return np.asarray((sums + factor * factor // 2) // (factor * factor), np.uint8)


def target_of(boxes: NDArray[np.float32], ignored: NDArray[np.float32], size_px: int) -> Target:
    """The target of an image of ``size_px``; boxes (N, 4) left, top, right, bottom in its pixels."""
    cells = size_px // OUTPUT_STRIDE_PX
    centre = np.zeros((cells, cells), np.float32)
    box = np.zeros((4, cells, cells), np.float32)
    positive = np.zeros((cells, cells), bool)
    counted = np.ones((cells, cells), bool)
    rows, columns = np.mgrid[:cells, :cells].astype(np.float32)
    for left, top, right, bottom in ignored / OUTPUT_STRIDE_PX:
        counted[max(0, int(top)) : max(0, int(np.ceil(bottom))), max(0, int(left)) : max(0, int(np.ceil(right)))] = (
            False
        )
    for left, top, right, bottom in boxes / OUTPUT_STRIDE_PX:
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        row, column = min(int(y), cells - 1), min(int(x), cells - 1)
        # A sixth of the box: at half of this distance a box still overlaps the true one by 0.7.
        sx, sy = max(width / 6, 0.6), max(height / 6, 0.6)
        bump = np.exp(-(((columns - column) / sx) ** 2 + ((rows - row) / sy) ** 2) / 2)
        centre = np.maximum(centre, bump)
        positive[row, column] = True
        counted[row, column] = True
        unit = OUTPUT_STRIDE_PX / BOX_UNIT_PX
        box[:, row, column] = x - column, y - row, width * unit, height * unit
    return Target(centre, box, positive, counted)


def train_detector(
    fields: FieldSet,
    run: Run,
    *,
    um_per_px: float = 0.5,
    steps: int = 2500,
    batch: int = 16,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Callable[[Step], None] = lambda step: None,
) -> HeatmapNet:
    """Train on ``fields`` averaged to ``um_per_px``; resumes from what ``run`` holds. One object kind."""
    factor = round(um_per_px / fields.um_per_px)
    images = reduced(fields.images, factor)
    targets = [
        target_of(boxes / np.float32(factor), ignored / np.float32(factor), images.shape[1])
        for boxes, ignored in zip(fields.boxes, fields.ignored, strict=True)
    ]
    torch.manual_seed(seed)
    network = HeatmapNet(kinds=1)

    def loss(rng: np.random.Generator) -> Tensor:
        chosen = rng.integers(len(images), size=batch)
        return _loss(network, images[chosen], [targets[i] for i in chosen], rng)

    run.optimise(network, loss, steps=steps, learning_rate=learning_rate, seed=seed, progress=progress)
    return network


def _loss(network: HeatmapNet, images: NDArray[np.uint8], targets: list[Target], rng: np.random.Generator) -> Tensor:
    flip_x, flip_y, swap = (bool(b) for b in rng.integers(2, size=3))
    image = augmented(torch.from_numpy(images).permute(0, 3, 1, 2).float(), rng)
    centre = torch.from_numpy(np.stack([t.centre for t in targets]))[:, None]
    box = torch.from_numpy(np.stack([t.box for t in targets]))
    positive = torch.from_numpy(np.stack([t.positive for t in targets]))[:, None]
    counted = torch.from_numpy(np.stack([t.counted for t in targets]))[:, None]
    image, centre, box, positive, counted = (
        _turned(t, flip_x=flip_x, flip_y=flip_y, swap=swap) for t in (image, centre, box, positive, counted)
    )
    box = _turned_values(box, flip_x=flip_x, flip_y=flip_y, swap=swap)
    logits, predicted = network(image.contiguous(memory_format=torch.channels_last) / STEPS_PER_UNIT)
    mask = positive.expand_as(predicted)
    size = functional.l1_loss(predicted[mask], box[mask], reduction="sum") / (positive.sum() + _PRIOR_POSITIVES)
    return focal_loss(logits, centre, positive, counted) + SIZE_WEIGHT * size


def focal_loss(logits: Tensor, centre: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CenterNet (alpha 2, beta 4), per true centre."""
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    p = log_p.exp()
    hit = -(((1 - p) ** 2) * log_p)[positive].sum()
    miss = -((1 - centre) ** 4 * p**2 * log_q)[counted & ~positive].sum()
    return (hit + miss) / (positive.sum() + _PRIOR_POSITIVES)


def augmented(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Other stains and lamps: gain and gamma of each channel, a little noise; whole pixel values from 0 to 255."""
    n = len(images)
    gain = torch.from_numpy(rng.normal(1.0, 0.05, (n, 3, 1, 1)).astype(np.float32))
    gamma = torch.from_numpy(np.exp(rng.normal(0.0, 0.12, (n, 3, 1, 1))).astype(np.float32))
    noise = torch.from_numpy(rng.normal(0.0, 1.0, images.shape).astype(np.float32)) * float(rng.uniform(0, 4))
    return ((images / 255).pow(gamma) * gain * 255 + noise).round().clamp(0, 255)


def _turned(maps: Tensor, *, flip_x: bool, flip_y: bool, swap: bool) -> Tensor:
    axes = [axis for axis, on in ((3, flip_x), (2, flip_y)) if on]
    turned = maps.flip(axes) if axes else maps
    return turned.transpose(2, 3) if swap else turned


def _turned_values(box: Tensor, *, flip_x: bool, flip_y: bool, swap: bool) -> Tensor:
    """Offsets point the other way in a flipped picture; x and y change places in a transposed one."""
    x, y, width, height = box.unbind(1)
    x = 1 - x if flip_x else x
    y = 1 - y if flip_y else y
    return torch.stack((y, x, height, width) if swap else (x, y, width, height), dim=1)
