"""What a field looks like at low power: nuclei, crowding and focus.

Optical density: Ruifrok and Johnston, Anal Quant Cytol Histol 2001;23:291-299. Written for speed where it costs no bit
of the result: of 256 brightnesses there are 256 densities, so that most of it is looked up, counted or compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
_BRIGHTNESS = np.clip(np.arange(256), 1, None)
_CROSS = ndimage.generate_binary_structure(2, 1)
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
    field = (_RedField if not settings.blue_share else _RedLessBlueField)(pixels, settings)
    scale = settings.um_per_px
    nuclei = _without_specks(field.dark, LEAST_NUCLEUS_SHARE * settings.nucleus_um2 / scale**2)
    if nuclei is None:
        return NO_NUCLEI
    core = _core(nuclei, max(1, round(CLOT_RADIUS_UM / scale)))
    single = nuclei if core is None else nuclei & ~core
    outline = np.flatnonzero(_outline(single))
    sharpness = None
    if len(outline) >= 4 and min(single.shape) >= 2:
        contrast = 0.0 if single.all() else field.contrast(single)
        least = min(EDGE_DENSITY, settings.nucleus_density / 2)
        sharpness = 0.0 if contrast < least else _steepness(field, outline) / contrast / scale
    return FieldLook(
        nuclear_um2=float(np.count_nonzero(single)) * scale**2,
        dark_share=np.count_nonzero(nuclei) / nuclei.size,
        clot_share=0.0 if core is None else np.count_nonzero(core) / nuclei.size,
        sharpness=sharpness,
    )


class _RedField:
    """A field whose density is that of red light: its pixels are counted and compared by brightness."""

    def __init__(self, pixels: NDArray[np.uint8], settings: SurveySettings) -> None:
        self.shape = pixels.shape[:2]
        self._light = np.ascontiguousarray(pixels[..., 0])
        self._counts = np.bincount(self._light.ravel(), minlength=256)
        self._densities = np.asarray(_densities(self._counts), np.float32)
        # The brighter, the less dense: all from the darkest up to one brightness are dark.
        self.dark: Mask = self._light < np.count_nonzero(self._densities >= settings.nucleus_density)

    def density(self, places: NDArray[np.intp]) -> NDArray[np.float32]:
        """Density at ``places``, numbers of pixels in rows."""
        return self._densities.take(self._light.ravel().take(places))

    def contrast(self, nuclei: Mask) -> float:
        """Median density of nuclei over that of all else."""
        of_nuclei = np.bincount(self._light[nuclei], minlength=256)
        return _median(of_nuclei, self._densities) - _median(self._counts - of_nuclei, self._densities)


class _RedLessBlueField:
    """A field whose density is that of red light, less a share of that in blue light."""

    def __init__(self, pixels: NDArray[np.uint8], settings: SurveySettings) -> None:
        self.shape = pixels.shape[:2]
        red_light, blue_light = (np.ascontiguousarray(pixels[..., channel]) for channel in (0, 2))
        red = np.asarray(_densities(np.bincount(red_light.ravel(), minlength=256)), np.float32)
        blue = settings.blue_share * _densities(np.bincount(blue_light.ravel(), minlength=256))
        self._density = np.asarray(red.take(red_light) - blue.take(blue_light), np.float32)
        self.dark: Mask = self._density >= settings.nucleus_density

    def density(self, places: NDArray[np.intp]) -> NDArray[np.float32]:
        """Density at ``places``, numbers of pixels in rows."""
        return self._density.ravel().take(places)

    def contrast(self, nuclei: Mask) -> float:
        """Median density of nuclei over that of all else."""
        return _median_of(self._density[nuclei]) - _median_of(self._density[~nuclei])


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


def _densities(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Density of each of 256 brightnesses, the field having ``counts`` pixels of each."""
    glass = _percentile(counts, GLASS_PERCENTILE / 100)
    if glass < DARKEST_GLASS:
        glass = USUAL_GLASS
    return np.asarray(np.log10(glass / _BRIGHTNESS))


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
    named, count = ndimage.label(mask, _CROSS)
    places = np.flatnonzero(mask)
    names = named.ravel().take(places)
    large = np.bincount(names, minlength=count + 1) >= least_px
    large[0] = False
    kept = np.count_nonzero(large)
    if kept in (0, count):
        return mask if kept else None
    out = np.zeros_like(mask)
    out.ravel()[places[large.take(names)]] = True
    return out


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


def _median(counts: NDArray[np.int64], densities: NDArray[np.float32]) -> float:
    """Median density of pixels that were counted by brightness."""
    up_to = np.cumsum(counts)
    number = int(up_to[-1])
    middle = np.searchsorted(up_to, ((number - 1) // 2, number // 2), side="right")
    return _middle(*densities.take(middle))


def _median_of(values: NDArray[np.float32]) -> float:
    """As ``np.median``, which takes longer to begin than to end."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    parted = np.partition(values, (low, high))
    return _middle(parted[low], parted[high])


def _middle(low: np.float32, high: np.float32) -> float:
    return float((low + high) / np.float32(2))


def _steepness(field: _RedField | _RedLessBlueField, outline: NDArray[np.intp]) -> float:
    """Median over the pixels of ``outline`` of the steepest place within a pixel of each, density per px."""
    height, width = field.shape
    around = _around(outline, height, width)
    near = np.zeros(height * width, np.bool_)
    near[around] = True
    places = np.flatnonzero(near)
    rows, columns = np.divmod(places, width)
    up, down = places - width * (rows > 0), places + width * (rows < height - 1)
    left, right = places - (columns > 0), places + (columns < width - 1)
    # A pixel at an edge has one neighbour, a step away; others have two, two steps apart.
    falling = (field.density(down) - field.density(up)) / ((down - up) // width).astype(np.float32)
    across = (field.density(right) - field.density(left)) / (right - left).astype(np.float32)
    steepness = np.empty(height * width, np.float32)
    steepness[places] = np.hypot(falling, across)
    return _median_of(steepness.take(around).max(axis=0))


def _around(places: NDArray[np.intp], height: int, width: int) -> NDArray[np.intp]:
    """Each pixel and its neighbours, shape (9, N); beyond an edge stands the pixel at the edge."""
    rows, columns = np.divmod(places, width)
    lines = np.stack((np.maximum(rows - 1, 0), rows, np.minimum(rows + 1, height - 1))) * width
    sides = np.stack((np.maximum(columns - 1, 0), columns, np.minimum(columns + 1, width - 1)))
    return np.asarray((lines[:, None] + sides).reshape(9, -1))
