"""Training the classifier on crops around true cells, shifted as a detector would shift them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from marrow_models.classification import CLASS_HEAD
from marrow_models.networks.crop import CropNet
from marrow_models.networks.lattice import STEPS_PER_UNIT
from marrow_models.training.detector import augmented
from marrow_models.training.fields import FieldSet
from marrow_models.training.loop import Run, Step

SHIFT_UM = 0.8
"""Standard deviation by which a crop's centre is off, in each direction."""
LABEL_SMOOTHING = 0.02


@dataclass(frozen=True, slots=True)
class CropSet:
    """N crops with a margin to shift in, and their classes."""

    images: NDArray[np.uint8]
    """(N, crop + 2 margin, crop + 2 margin, 3)"""
    classes: NDArray[np.int64]
    """(N,) index into ``labels``."""
    labels: tuple[str, ...]
    crop_px: int
    margin_px: int
    um_per_px: float

    def __len__(self) -> int:
        return len(self.classes)


def crops_of(fields: FieldSet, labels: Sequence[str], *, crop_px: int) -> CropSet:
    """Cut a crop around every true cell of ``fields`` whose label is among ``labels``; white beyond the field."""
    margin = int(np.ceil(3 * SHIFT_UM / fields.um_per_px))
    size = crop_px + 2 * margin
    known = {label: index for index, label in enumerate(labels)}
    images, classes = [], []
    for image, boxes, names in zip(fields.images, fields.boxes, fields.labels, strict=True):
        padded = np.pad(image, ((size, size), (size, size), (0, 0)), constant_values=255)
        for (left, top, right, bottom), name in zip(boxes, names, strict=True):
            # A cell cut by the field's edge is another picture than one cut by the slide's edge: rare, so left out.
            if name not in known or left <= 0 or top <= 0 or right >= len(image) or bottom >= len(image):
                continue
            x, y = int((left + right) / 2) + size - size // 2, int((top + bottom) / 2) + size - size // 2
            images.append(padded[y : y + size, x : x + size])
            classes.append(known[name])
    return CropSet(np.stack(images), np.asarray(classes, np.int64), tuple(labels), crop_px, margin, fields.um_per_px)


def train_classifier(
    crops: CropSet,
    run: Run,
    *,
    steps: int = 4000,
    batch: int = 64,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Callable[[Step], None] = lambda step: None,
) -> CropNet:
    """Train the class head on ``crops``, every class equally often; resumes from what ``run`` holds."""
    torch.manual_seed(seed)
    network = CropNet({CLASS_HEAD: len(crops.labels)})
    by_class = [np.flatnonzero(crops.classes == index) for index in range(len(crops.labels))]
    present = np.asarray([index for index, members in enumerate(by_class) if len(members)])

    def loss(rng: np.random.Generator) -> Tensor:
        chosen = np.asarray([rng.choice(by_class[index]) for index in rng.choice(present, batch)])
        images = torch.from_numpy(_shifted(crops, chosen, rng)).permute(0, 3, 1, 2).float()
        images = _turned(augmented(images, rng), rng).contiguous(memory_format=torch.channels_last)
        scores = network(images / STEPS_PER_UNIT)[CLASS_HEAD]
        return functional.cross_entropy(
            scores, torch.from_numpy(crops.classes[chosen]), label_smoothing=LABEL_SMOOTHING
        )

    run.optimise(network, loss, steps=steps, learning_rate=learning_rate, seed=seed, progress=progress)
    return network


def _shifted(crops: CropSet, chosen: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    shift = rng.normal(0, SHIFT_UM / crops.um_per_px, (len(chosen), 2)).round().astype(int)
    at = crops.margin_px + shift.clip(-crops.margin_px, crops.margin_px)
    size = crops.crop_px
    return np.stack([crops.images[i, y : y + size, x : x + size] for i, (y, x) in zip(chosen, at, strict=True)])


def _turned(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A cell has no up and down: one of eight views, the same for the batch."""
    flips = [axis for axis, on in zip((2, 3), rng.integers(2, size=2), strict=True) if on]
    images = images.flip(flips) if flips else images
    return images.transpose(2, 3) if rng.integers(2) else images


def centre_crops(crops: CropSet) -> NDArray[np.uint8]:
    """The crops without any shift, (N, crop, crop, 3)."""
    inner = slice(crops.margin_px, crops.margin_px + crops.crop_px)
    return crops.images[:, inner, inner]
