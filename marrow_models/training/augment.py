"""Other views of the same cells: turned, scaled and shifted, in other stains and under other lamps.

Works on a batch at once and on its device, in float32 also where the network runs in bfloat16: that holds eight bits,
too few for places and colours. Pixel values stay whole numbers from 0 to 255, as slides have them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.networks.layers.spatial_transforms import AffineTransform
from torch import Tensor
from torch.nn import functional

from marrow_models.local_contrast import with_contrast

WHITE = 255.0
# Ruifrok and Johnston 2001, "Quantification of histochemical staining by color deconvolution"; haematoxylin and eosin
# stand for the blue and the red dye of the Romanowsky stains.
STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))


@dataclass(frozen=True, slots=True)
class Variety:
    """How far a view may go from the picture. Standard deviations, unless said otherwise."""

    turns: bool = False
    """Any angle, and mirrored. Otherwise the views are as they lie."""
    exact: float = 0.0
    """Share of the views that stay on the picture's own pixels: turned by right angles, shifted by whole pixels and not
    scaled. All others are smoothed by interpolation, and what has seen only those is lost on sharp pictures."""
    log_scale: float = 0.0
    shift_um: float = 0.0
    gain: float = 0.05
    """Of each channel."""
    log_gamma: float = 0.12
    """Of each channel."""
    log_stain: float = 0.0
    """Of the amount of each dye."""
    noise: float = 4.0
    """Largest standard deviation, in pixel values."""
    blur_px: float = 0.0
    """Largest standard deviation of a Gaussian."""
    softer: float = 0.0
    """Share of the views that have less local contrast, as cameras show them that do not sharpen."""
    softest: float = 1.0
    """Least part of its local contrast that is left to a view."""
    coarser: float = 0.0
    """Share of the batches that are seen as a coarser scanner would."""
    coarsest_um_per_px: float = 0.0
    """Largest pixel of such a scanner; each batch draws its own, from that of the network's images on."""


def varied_colours(images: Tensor, variety: Variety, rng: np.random.Generator) -> Tensor:
    """Views of ``images`` (N, 3, H, W) in other colours; values 0 to 255 in and out."""
    with torch.autocast(images.device.type, enabled=False):
        return _varied_colours(images, variety, rng)


def varied_places(images: Tensor, size_px: int, um_per_px: float, variety: Variety, rng: np.random.Generator) -> Tensor:
    """Views of ``images`` (N, 3, S, S), turned, scaled and shifted about their centres, (N, 3, size_px, size_px)."""
    n, side = len(images), images.shape[-1]
    exact = rng.uniform(size=n) < variety.exact
    angle = rng.uniform(0, 2 * np.pi, n) if variety.turns else np.zeros(n)
    angle = np.where(exact, np.round(angle / (np.pi / 2)) * (np.pi / 2), angle)
    mirror = rng.choice([-1.0, 1.0], n) if variety.turns else np.ones(n)
    scale = np.where(exact, 1.0, np.exp(rng.normal(0, variety.log_scale, n)))
    shift_px = rng.normal(0, variety.shift_um / um_per_px, (n, 2))
    shift = np.where(exact[:, None], np.round(shift_px), shift_px) * (2 / side)
    # From the view's pixel to the picture's, both from -1 to 1 over their sides.
    share = size_px / side / scale
    cos, sin = np.cos(angle) * share, np.sin(angle) * share
    theta = np.stack(
        [np.stack([cos * mirror, -sin, shift[:, 0]], axis=1), np.stack([sin * mirror, cos, shift[:, 1]], axis=1)],
        axis=1,
    )
    # Not align_corners: -1 and 1 are the outer edges of the pixels, so that the shares of the sides are right.
    warp = AffineTransform(
        (size_px, size_px), normalized=True, padding_mode="border", align_corners=False, reverse_indexing=False
    )
    with torch.autocast(images.device.type, enabled=False):
        warped: Tensor = warp(images, torch.from_numpy(theta.astype(np.float32)).to(images.device))
    return warped


def seen_coarser(images: Tensor, um_per_px: float, variety: Variety, rng: np.random.Generator) -> Tensor:
    """``images`` (N, 3, S, S) of ``um_per_px`` as they are read from a slide of larger pixels; or as they are."""
    if not variety.coarser or rng.uniform() >= variety.coarser:
        return images
    pixel_um = float(np.exp(rng.uniform(np.log(um_per_px), np.log(max(um_per_px, variety.coarsest_um_per_px)))))
    side = images.shape[-1]
    with torch.autocast(images.device.type, enabled=False):
        coarse_px = max(1, round(side * um_per_px / pixel_um))
        scanned = functional.interpolate(images, size=(coarse_px, coarse_px), mode="area").round()
        return functional.interpolate(scanned, size=(side, side), mode="bilinear", align_corners=False)


def _varied_colours(images: Tensor, variety: Variety, rng: np.random.Generator) -> Tensor:
    n, device = len(images), images.device
    if variety.log_stain:
        images = _stained(images, np.exp(rng.normal(0.0, variety.log_stain, (n, 3))).astype(np.float32))
    gain = _channels(rng.normal(1.0, variety.gain, (n, 3)), device)
    gamma = _channels(np.exp(rng.normal(0.0, variety.log_gamma, (n, 3))), device)
    images = (images / WHITE).clamp_min(1e-6).pow(gamma) * gain * WHITE
    if variety.softer:
        left = np.exp(rng.uniform(np.log(variety.softest), 0.0, n))
        left = np.where(rng.uniform(size=n) < variety.softer, left, 1.0)
        images = with_contrast(images.round().clamp(0, WHITE), torch.from_numpy(left.astype(np.float32)).to(device))
    if variety.blur_px:
        images = _blurred(images, float(rng.uniform(0, variety.blur_px)))
    if variety.noise:
        generator = torch.Generator(device=device).manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(images.shape, generator=generator, device=device)
        images = images + noise * float(rng.uniform(0, variety.noise))
    return images.round().clamp(0, WHITE)


def _stained(images: Tensor, amounts: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Tensor:
    """More or less of each dye: optical densities, unmixed, scaled and mixed again."""
    stains = torch.tensor(STAINS, device=images.device)
    stains = stains / stains.norm(dim=1, keepdim=True)
    unmix = torch.linalg.inv(stains)
    scale = torch.diag_embed(torch.from_numpy(amounts).to(images.device))
    density = -torch.log(images.clamp_min(1.0) / WHITE)
    mixed = torch.einsum("nchw,ncd->ndhw", density, (unmix @ scale) @ stains)
    return torch.exp(-mixed) * WHITE


def _blurred(images: Tensor, sigma_px: float) -> Tensor:
    if sigma_px < 0.3:
        return images
    radius = int(np.ceil(2.5 * sigma_px))
    kernel = torch.exp(-(torch.arange(-radius, radius + 1, device=images.device).float() ** 2) / (2 * sigma_px**2))
    kernel = kernel / kernel.sum()
    padded = functional.pad(images, (radius, radius, radius, radius), mode="reflect")
    return _along(_along(padded, kernel, 2), kernel, 3)


def _along(images: Tensor, kernel: Tensor, dim: int) -> Tensor:
    """Convolution of (N, 3, H, W) with ``kernel`` (K,) along ``dim``, without the edges.

    Shifted sums take a tenth of the time of a convolution channel by channel.
    """
    size = images.shape[dim] - len(kernel) + 1
    total = images.narrow(dim, 0, size) * kernel[0]
    for place, weight in enumerate(kernel[1:].tolist(), start=1):
        total.add_(images.narrow(dim, place, size), alpha=weight)
    return total


def _channels(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)[:, :, None, None]
