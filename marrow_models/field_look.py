"""What a field looks like at low power: nuclei, crowding and focus.

Optical density: Ruifrok and Johnston, Anal Quant Cytol Histol 2001;23:291-299. Written for speed where it costs no bit
of the result: of 256 brightnesses there are 256 densities, so that most of it is looked up, counted or compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from marrow_models.model_settings import SurveySettings

GLASS_PERCENTILE = 95
"""The brightest pixels of a field are glass."""
DARKEST_GLASS = 150
"""Where even they are darker than this, the field holds no glass at all."""
USUAL_GLASS = 240.0
"""What stands for glass then."""
LEAST_NUCLEUS_SHARE = 0.15
"""Smaller specks than this share of a typical nucleus are platelets and dirt."""
CLOT_RADIUS_UM = 8.0
"""Nothing in a monolayer is dark over more than this in every direction."""
LARGEST_CLOT_SHARE = 0.02
EDGE_DENSITY = 0.12
_MARGIN = 1e-4
"""Far more than any rounding of a density."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FieldLook:
    """What a field looks like at low power."""

    nuclear_um2: float
    dark_share: float
    """Share of the field's area that is nucleus-like."""
    clot_share: float
    sharpness: float | None
    """Steepness of nuclear edges: share of the contrast per um. None without nuclei."""


NO_NUCLEI = FieldLook(0.0, 0.0, 0.0, None)


def look_at(pixels: NDArray[np.uint8], settings: SurveySettings) -> FieldLook:
    """Judge RGB pixels (h, w, 3) at the survey's scale."""
    light = np.ascontiguousarray(pixels[..., 0])
    counts = np.bincount(light.ravel(), minlength=256)
    densities = _densities(counts)
    density: NDArray[np.float32] | None = None
    if settings.blue_share:
        blue_light = np.ascontiguousarray(pixels[..., 2])
        blue = _log_densities(np.bincount(blue_light.ravel(), minlength=256))
        density = np.asarray(densities[light] - settings.blue_share * blue[blue_light], np.float32)
        dark = density >= settings.nucleus_density
    else:
        dark = (densities >= settings.nucleus_density)[light]
    scale = settings.um_per_px
    nuclei = _without_specks(dark, LEAST_NUCLEUS_SHARE * settings.nucleus_um2 / scale**2)
    if nuclei is None:
        return NO_NUCLEI
    core = _core(nuclei, max(1, round(CLOT_RADIUS_UM / scale)))
    single = nuclei if core is None else nuclei & ~core
    dark_px, single_px = np.count_nonzero(nuclei), np.count_nonzero(single)
    least = min(EDGE_DENSITY, settings.nucleus_density / 2)
    outline = _outline(single)
    sharpness = None
    if np.count_nonzero(outline) >= 4 and min(outline.shape) >= 2:
        if density is None:
            contrast = _contrast_of(light, counts, densities, single)
            density = densities[light]
        else:
            contrast = _contrast(density, single)
        sharpness = 0.0 if contrast < least else _steepness(density, outline) / contrast / scale
    return FieldLook(
        nuclear_um2=float(single_px) * scale**2,
        dark_share=dark_px / nuclei.size,
        clot_share=0.0 if core is None else np.count_nonzero(core) / nuclei.size,
        sharpness=sharpness,
    )


def cannot_hold_nuclei(
    darkest: NDArray[np.uint8], brightest: NDArray[np.uint8], settings: SurveySettings
) -> NDArray[np.bool_]:
    """Whether fields of which only the darkest and the brightest RGB values (..., 3) are known are free of nuclei.

    True is certain (:func:`look_at` would find none), False is not.
    """
    if settings.blue_share < 0:
        return np.zeros(darkest.shape[:-1], np.bool_)
    low, high = np.maximum(darkest, 1).astype(np.float64), np.maximum(brightest, 1).astype(np.float64)
    densest = np.log10(np.maximum(high[..., 0], USUAL_GLASS) / low[..., 0])
    clearest_blue = np.log10(np.maximum(low[..., 2], DARKEST_GLASS) / high[..., 2])
    return np.asarray(densest - settings.blue_share * clearest_blue < settings.nucleus_density - _MARGIN)


def rejection(look: FieldLook, settings: SurveySettings) -> str | None:
    """Why a field is not to be read, None when it is."""
    if look.clot_share > LARGEST_CLOT_SHARE or look.dark_share > settings.largest_dark_share:
        return "clot"
    if look.sharpness is None or look.nuclear_um2 < LEAST_NUCLEUS_SHARE * settings.nucleus_um2:
        return "empty"
    if look.sharpness < settings.least_sharpness:
        return "out_of_focus"
    return None


def _densities(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.asarray(_log_densities(counts), np.float32)


def _log_densities(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Density of each of 256 brightnesses, the field having ``counts`` pixels of each."""
    glass = _percentile(counts, GLASS_PERCENTILE / 100)
    if glass < DARKEST_GLASS:
        glass = USUAL_GLASS
    return np.asarray(np.log10(glass / np.clip(np.arange(256), 1, None)))


def _percentile(counts: NDArray[np.int64], share: float) -> float:
    """As ``np.percentile`` of the values that were counted, interpolated in the same steps."""
    up_to = np.cumsum(counts)
    place = share * (int(up_to[-1]) - 1)
    below = math.floor(place)
    a, b = (int(v) for v in np.searchsorted(up_to, (below, min(below + 1, int(up_to[-1]) - 1)), side="right"))
    part = place - below
    return b - (b - a) * (1 - part) if part >= 0.5 else a + (b - a) * part


def _without_specks(mask: Mask, least_px: float) -> Mask | None:
    """``mask`` without its small connected parts; None where nothing is left."""
    if np.count_nonzero(mask) < least_px:
        return None
    named, count = ndimage.label(mask)
    if not count:
        return None
    sizes = np.bincount(named.ravel())
    large = sizes >= least_px
    large[0] = False
    kept = np.count_nonzero(large)
    if not kept:
        return None
    return mask if kept == count else np.asarray(large[named])


def _core(nuclei: Mask, radius: int) -> Mask | None:
    """What lies in squares of ``2 * radius + 1`` px that are all nuclei; None where there is no such square."""
    side = 2 * radius + 1
    if min(nuclei.shape) < side or np.count_nonzero(nuclei) < side * side:
        return None
    whole = nuclei
    for axis in (0, 1):
        whole = _runs(whole, side, axis)
    if not whole.any():
        return None
    clot = np.zeros(nuclei.shape, np.uint8)
    clot[radius : radius + whole.shape[0], radius : radius + whole.shape[1]] = whole
    return np.asarray(ndimage.maximum_filter(clot, side) > 0)


def _runs(mask: Mask, length: int, axis: int) -> Mask:
    """Where ``length`` pixels in a row are set, by the first of them: each step doubles what is known."""
    known = 1
    while known < length:
        step = min(known, length - known)
        mask = mask[:-step] & mask[step:] if axis == 0 else mask[:, :-step] & mask[:, step:]
        known += step
    return mask


def _outline(mask: Mask) -> Mask:
    """Pixels of ``mask`` beside one that is not of it, or at the edge."""
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return mask & ~inner


def _contrast(density: NDArray[np.float32], nuclei: Mask) -> float:
    """Median density of nuclei over that of all else; 0 where there is nothing else."""
    return 0.0 if nuclei.all() else float(np.median(density[nuclei])) - float(np.median(density[~nuclei]))


def _contrast_of(
    light: NDArray[np.uint8], counts: NDArray[np.int64], densities: NDArray[np.float32], nuclei: Mask
) -> float:
    """:func:`_contrast` where brightness alone makes the density: medians of counted values."""
    of_nuclei = np.bincount(light[nuclei], minlength=256)
    rest = counts - of_nuclei
    return 0.0 if not rest.any() else _median(of_nuclei, densities) - _median(rest, densities)


def _median(counts: NDArray[np.int64], densities: NDArray[np.float32]) -> float:
    """Median density of pixels that were counted by brightness."""
    up_to = np.cumsum(counts)
    number = int(up_to[-1])
    middle = np.searchsorted(up_to, ((number - 1) // 2, number // 2), side="right")
    return float(np.median(densities[middle]))


def _steepness(density: NDArray[np.float32], outline: Mask) -> float:
    """Median over ``outline`` of the steepest place within a pixel, density per px."""
    near = np.flatnonzero(_spread(outline, np.logical_or))
    down, across = np.empty_like(density), np.empty_like(density)
    down[1:-1], across[:, 1:-1] = (density[2:] - density[:-2]) / 2, (density[:, 2:] - density[:, :-2]) / 2
    down[0], down[-1] = density[1] - density[0], density[-1] - density[-2]
    across[:, 0], across[:, -1] = density[:, 1] - density[:, 0], density[:, -1] - density[:, -2]
    steepness = np.zeros_like(density)
    steepness.ravel()[near] = np.hypot(down.ravel()[near], across.ravel()[near])
    return float(np.median(_spread(steepness, np.maximum)[outline]))


def _spread(values: NDArray[Any], largest: np.ufunc) -> NDArray[Any]:
    """The largest of each pixel and its eight neighbours."""
    rows = values.copy()
    largest(rows[1:], values[:-1], out=rows[1:])
    largest(rows[:-1], values[1:], out=rows[:-1])
    out = rows.copy()
    largest(out[:, 1:], rows[:, :-1], out=out[:, 1:])
    largest(out[:, :-1], rows[:, 1:], out=out[:, :-1])
    return out
