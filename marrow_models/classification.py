"""Classification: from a cell's place to its class and morphology as probabilities, the same whatever the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from marrow_models.ahead import made_ahead
from marrow_models.detection import PixelSource
from marrow_models.errors import BundleError, Reason, SlideRefused
from marrow_models.local_contrast import with_least_contrast
from marrow_models.model_settings import ClassifierSettings
from marrow_models.networks.lattice import STEPS_PER_UNIT
from marrow_models.records import Rect

VIEWS = 8
"""Ways to lay a square crop down: as it is, mirrored, upside down, both, and the same of its transpose."""
CLASS_HEAD = "cell_class"
PROBABILITY_DECIMALS = 6
CACHED_PX = 1 << 17
"""Pixels of crops that a CPU classifies at a time: what lies between the layers then stays in its cache."""

READ_PX = 1 << 20
"""Pixels of crops that are read for a CPU at a time, and four times as many around them at most."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a classifier says of N cells."""

    probabilities: NDArray[np.float32]
    """(N, K) of the classes."""
    attributes: Mapping[str, NDArray[np.float32]]
    """Morphology attribute to the probabilities (N, values) of its values; empty where the settings name none."""


class Classifier:
    """A folded network that classifies crops (:class:`CropNet` or another with its heads), with its settings."""

    def __init__(self, network: nn.Module, settings: ClassifierSettings, device: str = "cpu") -> None:
        self.settings = settings
        self.device = device
        self.network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def classify(
        self, source: PixelSource, x_um: NDArray[np.float64], y_um: NDArray[np.float64], *, batch_size: int
    ) -> Told:
        """Class and attributes of the N cells with their centre at (x_um, y_um).

        BundleError when the network's outputs are not those that the settings name; SlideRefused(MODEL_OUTPUT) when
        they are no numbers.
        """
        step = min(batch_size, max(1, READ_PX // self.settings.crop_px**2)) if self.device == "cpu" else batch_size

        def crops(start: int) -> NDArray[np.uint8]:
            return self._crops(source, x_um[start : start + step], y_um[start : start + step])

        parts = [self.tell(read) for _, read in made_ahead(crops, range(0, len(x_um), step))]
        settings = self.settings
        return Told(
            _joined(parts, CLASS_HEAD, len(settings.labels)),
            {name: _joined(parts, name, len(values)) for name, values in settings.attributes.items()},
        )

    def _crops(self, source: PixelSource, x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> NDArray[np.uint8]:
        size, scale = self.settings.crop_px, self.settings.um_per_px
        left = np.floor(x_um / scale).astype(int) - size // 2
        top = np.floor(y_um / scale).astype(int) - size // 2
        # One read of what the cells of a batch span, when that is less than their crops one by one.
        span = Rect(int(left.min()), int(top.min()), int(np.ptp(left)) + size, int(np.ptp(top)) + size)
        if span.width * span.height <= 4 * len(left) * size * size:
            pixels = source.scaled_region(scale, span)
            at = zip(left - span.x, top - span.y, strict=True)
            return np.stack([pixels[y : y + size, x : x + size] for x, y in at])
        rects = (Rect(int(x), int(y), size, size) for x, y in zip(left, top, strict=True))
        return np.stack([source.scaled_region(scale, rect) for rect in rects])

    def tell(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Head to probabilities (N, outputs) of ``crops`` (N, crop_px, crop_px, 3)."""
        step = len(crops) if self.device != "cpu" else max(1, CACHED_PX // max(1, self.settings.crop_px**2))
        parts = [self._told(crops[group]) for group in _groups(len(crops), max(1, step))]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}

    def _told(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        batch = torch.from_numpy(crops).permute(0, 3, 1, 2).to(self.device)
        batch = with_least_contrast(batch, self.settings.least_contrast)
        totals: dict[str, NDArray[np.float64]] = {}
        for view in range(self.settings.views):
            with torch.inference_mode():
                scores = self.network(laid(batch, view).contiguous(memory_format=torch.channels_last))
            for name, score in scores.items():
                totals[name] = totals.get(name, 0.0) + score.double().cpu().numpy()
        return {name: self._softmax(name, total / self.settings.views) for name, total in totals.items()}

    def _softmax(self, name: str, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        temperature = self.settings.temperature if name == CLASS_HEAD else 1.0
        logits = scores / (STEPS_PER_UNIT * temperature)
        if not np.isfinite(logits).all():
            raise SlideRefused(Reason.MODEL_OUTPUT, "the classifier's output is not finite")
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = np.round(weights / weights.sum(axis=1, keepdims=True), PROBABILITY_DECIMALS)
        return np.asarray(probabilities, np.float32)


def _groups(crops: int, step: int) -> list[slice]:
    """Crops in groups of ``step``; a last one that would be alone joins those before it.

    With several threads oneDNN's eight-bit convolutions take six times as long for one picture as for each of two.
    """
    starts = list(range(0, crops, step))
    if len(starts) > 1 and crops - starts[-1] == 1 < step:
        starts.pop()
    return [slice(start, end) for start, end in pairwise([*starts, crops])]


def _joined(parts: Sequence[Mapping[str, NDArray[np.float32]]], head: str, outputs: int) -> NDArray[np.float32]:
    """What one head said in all batches, (N, outputs)."""
    if any(head not in part or part[head].shape[1] != outputs for part in parts):
        raise BundleError(f"The classifier has no head {head} of {outputs} outputs, as its bundle says. Make it again.")
    return np.concatenate([np.zeros((0, outputs), np.float32), *(part[head] for part in parts)])


def laid(images: torch.Tensor, view: int) -> torch.Tensor:
    """``images`` (N, C, S, S) laid down another way; ``view`` from 0 (as they are) to 7."""
    axes = [axis for axis, bit in ((3, 1), (2, 2)) if view & bit]
    images = images.flip(axes) if axes else images
    return images.transpose(2, 3) if view & 4 else images
