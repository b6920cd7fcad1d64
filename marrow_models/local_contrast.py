"""Local contrast: how far a crop's pixels are off the mean around them.

Cameras differ in it more than in colour, and analysers that sharpen their pictures have ten times that of a plain
microscope camera. A network that was taught by one of them takes the soft nuclei of another for those of other cells.
So the crops that have less than the training's are sharpened by an unsharp mask, each by as much as it lacks (unsharp
masks that adapt to a picture: Polesel, Ramponi, Mathews 2000, doi:10.1109/83.826787). All is done in whole numbers: the
same pixels on every machine.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LARGEST_GAIN = 4.0
"""Crops with next to no contrast hold little but noise and what the compression left."""
_REACH_PX = 7
"""Pixels around one that its mean is taken of, in each direction: a triangle of 15 px, deviation 3.2 px."""
_WEIGHTS = 1 << 12
"""Sum of the weights of such a mean."""
_MIDDLE = 5 / 8
"""Of the side of a crop: there the contrast is measured, on the cell and not on its neighbours."""
_GREEN = 1
"""The channel that all dyes of a smear absorb."""
_LOG_STEPS = 1 << 10
"""Whole numbers that a difference of 1 in logarithms is."""
_LOGS = torch.from_numpy(np.round(np.log(np.arange(256) + 1.0) * _LOG_STEPS).astype(np.int32))
_DROPPED_BITS = 8
"""Of a difference of logarithms, so that the sum of its squares is exact."""
_GAIN_STEPS = 1 << 4
"""Steps in which a gain rises by 1."""
_UNIT = _WEIGHTS * _GAIN_STEPS


def local_means(images: Tensor) -> Tensor:
    """``_WEIGHTS`` times the mean around each pixel of ``images`` (N, C, H, W), int16 or int32; edges are continued.

    Int16 is for pixel values, whose sums along one side fit in it.
    """
    for dim in (2, 3):
        size = images.shape[dim]
        at = torch.arange(-_REACH_PX, size + _REACH_PX, device=images.device).clamp(0, size - 1)
        images = images.index_select(dim, at)
        # A triangle is two boxes of 8 px, and a box of 8 px is three sums of two pixels.
        for step in (1, 2, 4, 1, 2, 4):
            length = images.shape[dim] - step
            images = images.narrow(dim, 0, length) + images.narrow(dim, step, length)
        images = images.int()
    return images


def local_contrast(images: Tensor) -> Tensor:
    """(N,) of ``images`` (N, 3, H, W), 0 to 255: how far the logarithm of green light is off the mean around it.

    Root mean square over the middle of the crop.
    """
    side = images.shape[-1]
    edge = int(side * (1 - _MIDDLE) / 2)
    green = images[:, _GREEN : _GREEN + 1, edge : side - edge, edge : side - edge]
    logs = _LOGS.to(images.device).index_select(0, green.flatten().int()).view(green.shape)
    off = (logs * _WEIGHTS - local_means(logs)) >> _DROPPED_BITS
    square = (off.long() ** 2).flatten(1).sum(dim=1).double() / off[0].numel()
    contrast: Tensor = square.sqrt() * (2**_DROPPED_BITS / (_WEIGHTS * _LOG_STEPS))
    return contrast


def with_least_contrast(images: Tensor, least: float) -> Tensor:
    """``images`` (N, 3, H, W), whole numbers from 0 to 255, as uint8; softer ones sharpened up to ``least``.

    None gets more than ``LARGEST_GAIN`` times the contrast that it has.
    """
    images = images.to(torch.uint8)
    if not least:
        return images
    images = images.contiguous()
    gain = (least / local_contrast(images).clamp_min(least / LARGEST_GAIN)).clamp_min(1.0)
    steps = ((gain - 1) * _GAIN_STEPS).round().int()
    soft = steps.nonzero()[:, 0]
    if not len(soft):
        return images
    chosen = images[soft].short()
    off = chosen.int() * _WEIGHTS - local_means(chosen)
    more = (off * steps[soft][:, None, None, None] + _UNIT // 2) >> _UNIT.bit_length() - 1
    return images.index_copy(0, soft, (chosen + more).clamp(0, 255).to(torch.uint8))


def with_contrast(images: Tensor, gain: Tensor) -> Tensor:
    """``images`` (N, 3, H, W), 0 to 255, with ``gain`` (N,) times their local contrast; fractions of pixel values."""
    means = local_means(images.short()).float() / _WEIGHTS
    return means + gain[:, None, None, None] * (images - means)
