"""Classification: from a cell's place to the probabilities of its class, the same whatever the batch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from marrow_models.detection import PixelSource
from marrow_models.errors import Reason, SlideRefused
from marrow_models.model_settings import ClassifierSettings
from marrow_models.networks.crop import CropNet
from marrow_models.networks.lattice import STEPS_PER_UNIT
from marrow_models.records import Rect

CLASS_HEAD = "cell_class"
PROBABILITY_DECIMALS = 6


class Classifier:
    """A folded :class:`CropNet` with its settings."""

    def __init__(self, network: CropNet, settings: ClassifierSettings, device: str = "cpu") -> None:
        self.settings = settings
        self._device = torch.device(device)
        self._network = network.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def classify(
        self, source: PixelSource, x_um: NDArray[np.float64], y_um: NDArray[np.float64], *, batch_size: int
    ) -> NDArray[np.float32]:
        """Probabilities (N, K) of the cells with their centre at (x_um, y_um)."""
        parts = [
            self._probabilities(self._crops(source, x_um[start : start + batch_size], y_um[start : start + batch_size]))
            for start in range(0, len(x_um), batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.settings.labels)), np.float32)

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

    def _probabilities(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        batch = torch.from_numpy(crops).permute(0, 3, 1, 2).to(self._device)
        with torch.inference_mode():
            scores = self._network(batch.float().contiguous(memory_format=torch.channels_last))[CLASS_HEAD]
        logits = scores.double().cpu().numpy() / (STEPS_PER_UNIT * self.settings.temperature)
        if not np.isfinite(logits).all():
            raise SlideRefused(Reason.MODEL_OUTPUT, "the classifier's output is not finite")
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = np.round(weights / weights.sum(axis=1, keepdims=True), PROBABILITY_DECIMALS)
        return np.asarray(probabilities, np.float32)
