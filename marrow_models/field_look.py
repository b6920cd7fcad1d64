"""What a field looks like at low power: nuclei, crowding and focus.

Optical density: Ruifrok and Johnston, Anal Quant Cytol Histol 2001;23:291-299. Written for speed where it costs no bit
of the result: fields of one size are looked at together, parts of a mask are told by its runs, and edges are measured
where there are some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

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
LEAST_OUTLINE_PX, LEAST_SIDE_PX = 4, 2
"""Of a field whose edges can be measured."""
_BRIGHTNESS = np.clip(np.arange(256), 1, None)
_MARGIN = 1e-4
"""Far more than any rounding of a density."""

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]
Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class FieldLook:
    """What a field looks like at low power."""

    nuclear_um2: float
    dark_share: float
    """Share of the field's area that is nucleus-like."""
    clot_share: float
    sharpness: float | None
    """Steepness of nuclear edges: share of the contrast per um. None without nuclei."""


def look_at(pixels: NDArray[np.uint8], settings: SurveySettings) -> FieldLook:
    """Judge RGB pixels (h, w, 3) at the survey's scale."""
    return look_at_each((pixels,), settings)[0]


def look_at_each(fields: Sequence[NDArray[np.uint8]], settings: SurveySettings) -> list[FieldLook]:
    """:func:`look_at` of fields of one size, RGB pixels (h, w, 3) each: together they cost half."""
    stack = _Stack(len(fields), *fields[0].shape[:2])
    density = np.pad(_density(fields, settings), ((0, 0), (1, 1), (1, 1)), mode="edge")
    nuclei = np.zeros(stack.shape, np.bool_)
    stack.inside(nuclei)[...] = stack.inside(density) >= settings.nucleus_density
    scale = settings.um_per_px
    runs = _without_specks(stack, nuclei, LEAST_NUCLEUS_SHARE * settings.nucleus_um2 / scale**2)
    nuclear_px = np.bincount(stack.fields_of(runs.starts), runs.lengths, len(fields))
    core_px = _take_cores_off(stack, nuclei, runs, max(1, round(CLOT_RADIUS_UM / scale)))
    sharpness = _sharpness(stack, density, nuclei, min(EDGE_DENSITY, settings.nucleus_density / 2))
    return [
        FieldLook(
            nuclear_um2=(nuclear - core) * scale**2,
            dark_share=nuclear / stack.field_px,
            clot_share=core / stack.field_px,
            sharpness=None if sharp is None else sharp / scale,
        )
        for nuclear, core, sharp in zip(nuclear_px.tolist(), core_px.tolist(), sharpness, strict=True)
    ]


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


class _Stack:
    """Fields of one size in one array, each in a frame of a pixel.

    So neighbours lie equally far from every pixel, and nothing connects one field with the next. A place is the number
    of a pixel of the array.
    """

    def __init__(self, fields: int, height: int, width: int) -> None:
        self.shape = fields, height + 2, width + 2
        self.field_px = height * width
        self.line_px = width + 2
        self.starts = np.arange(fields + 1) * ((height + 2) * (width + 2))
        """First place of each field, and the one behind the last."""
        steps = np.full((2, height + 2, width + 2), 2, np.float32)
        steps[0, (1, -2)] = steps[1, :, (1, -2)] = 1
        self.steps_down, self.steps_right = steps.reshape(2, -1)
        """How far a pixel's neighbours are apart, (places of a field,): at an edge one of them is the pixel itself."""

    @staticmethod
    def inside(framed: NDArray[Value]) -> NDArray[Value]:
        """The fields (N, h, w) without their frames."""
        return framed[:, 1:-1, 1:-1]

    def fields_of(self, places: Places) -> Places:
        """The field of each place."""
        return np.asarray(places // self.starts[1])

    def bounds(self, places: Places) -> list[int]:
        """Where the places of each field begin among sorted ``places``, and where those of the last one end."""
        return [int(bound) for bound in np.searchsorted(places, self.starts)]


@dataclass(frozen=True, slots=True)
class _Runs:
    """Pixels of a mask that lie side by side in a row."""

    starts: Places
    ends: Places
    """First place, and the one behind the last."""

    @classmethod
    def of(cls, framed: Mask) -> _Runs:
        """The runs of a mask in frames, which are not set."""
        flat = framed.ravel()
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        return cls(changes[::2], changes[1::2])

    @property
    def lengths(self) -> Places:
        return self.ends - self.starts

    def take(self, which: Mask) -> _Runs:
        return _Runs(self.starts[which], self.ends[which])

    def parts(self, line_px: int) -> NDArray[np.int32]:
        """The connected part that each run belongs to; pixels are connected by their sides."""
        first = np.searchsorted(self.ends, self.starts - line_px, side="right")
        above = np.searchsorted(self.starts, self.ends - line_px, side="left") - first
        pairs = np.repeat(np.arange(len(above)), above), _ranges(first, above)
        graph = coo_array((np.ones(len(pairs[0]), np.int8), pairs), shape=(len(above), len(above)))
        return np.asarray(connected_components(graph, directed=False)[1])

    def places(self) -> Places:
        """All pixels."""
        return _ranges(self.starts, self.lengths)


def _ranges(starts: Places, lengths: Places) -> Places:
    """Whole numbers from each start on, as many as its length, one range after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)


def _density(fields: Sequence[NDArray[np.uint8]], settings: SurveySettings) -> NDArray[np.float32]:
    """(N, h, w) in red light, less a share of that in blue light."""
    red_light = _channel(fields, 0)
    red = _looked_up(_densities_of(red_light).astype(np.float32), red_light)
    if not settings.blue_share:
        return red
    blue_light = _channel(fields, 2)
    blue = _looked_up(_densities_of(blue_light), blue_light)
    return np.asarray(red - settings.blue_share * blue, np.float32)


def _channel(fields: Sequence[NDArray[np.uint8]], channel: int) -> NDArray[np.uint8]:
    return np.stack([field[..., channel] for field in fields])


def _densities_of(light: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Density of each of 256 brightnesses in each field of ``light`` (N, h, w), shape (N, 256)."""
    counts = np.stack([np.bincount(field.ravel(), minlength=256) for field in light])
    glass = _percentile(counts, GLASS_PERCENTILE / 100)
    glass[glass < DARKEST_GLASS] = USUAL_GLASS
    return np.asarray(np.log10(glass[:, None] / _BRIGHTNESS))


def _looked_up(tables: NDArray[Value], light: NDArray[np.uint8]) -> NDArray[Value]:
    """For each field of ``light`` the values of its table (N, 256)."""
    # No byte is beyond a table, so nothing is cut off: numpy is only spared the question.
    return np.stack([table.take(field, mode="clip") for table, field in zip(tables, light, strict=True)])


def _percentile(counts: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    """As ``np.percentile`` of bytes that were counted (N, 256), interpolated in the same steps."""
    up_to = np.cumsum(counts, axis=1)
    last = int(up_to[0, -1]) - 1
    place = share * last
    below = math.floor(place)
    a, b = ((up_to > number).argmax(axis=1) for number in (below, min(below + 1, last)))
    part = place - below
    return np.asarray(b - (b - a) * (1 - part) if part >= 0.5 else a + (b - a) * part, np.float64)


def _without_specks(stack: _Stack, dark: Mask, least_px: float) -> _Runs:
    """Take the small connected parts off ``dark``; the runs of what is left."""
    runs = _Runs.of(dark)
    parts = runs.parts(stack.line_px)
    large = (np.bincount(parts, weights=runs.lengths) >= least_px)[parts]
    dark.ravel()[runs.take(~large).places()] = False
    return runs.take(large)


def _take_cores_off(stack: _Stack, nuclei: Mask, runs: _Runs, radius: int) -> Places:
    """Take off what lies in squares of ``2 * radius + 1`` px that are all nuclei; how many pixels in each field."""
    side = 2 * radius + 1
    taken_px = np.zeros(len(nuclei), np.intp)
    for number in np.unique(stack.fields_of(runs.starts[runs.lengths >= side])):
        field = stack.inside(nuclei)[number]
        core = _core(field, side)
        field &= ~core
        taken_px[number] = np.count_nonzero(core)
    return taken_px


def _core(nuclei: Mask, side: int) -> Mask:
    """What lies in squares of an odd ``side`` that are all nuclei."""
    if min(nuclei.shape) < side:
        return np.zeros_like(nuclei)
    whole = nuclei
    for axis in (0, 1):
        whole = _all_along(whole, side, axis)
    middles = np.pad(whole, side // 2)
    return np.asarray(ndimage.maximum_filter(middles.view(np.uint8), side) > 0) if whole.any() else middles


def _all_along(mask: Mask, length: int, axis: int) -> Mask:
    """Where ``length`` pixels in a row are set, by the first of them: each step doubles what is known."""
    known = 1
    while known < length:
        step = min(known, length - known)
        mask = mask[:-step] & mask[step:] if axis == 0 else mask[:, :-step] & mask[:, step:]
        known += step
    return mask


def _sharpness(stack: _Stack, density: NDArray[np.float32], nuclei: Mask, least_contrast: float) -> list[float | None]:
    """Steepness at the outlines of nuclei as a share of their contrast, per px; None where there are no outlines."""
    outline = _outline(stack, nuclei)
    bounds = stack.bounds(outline)
    sharpness: list[float | None] = [None] * len(nuclei)
    contrasts = {}
    for number, (start, end) in enumerate(pairwise(bounds)):
        if end - start >= LEAST_OUTLINE_PX and min(stack.inside(nuclei).shape[1:]) >= LEAST_SIDE_PX:
            contrast = _contrast(stack.inside(density)[number], stack.inside(nuclei)[number])
            sharpness[number] = 0.0
            if contrast >= least_contrast:
                contrasts[number] = contrast
    if contrasts:
        outline = np.concatenate([outline[bounds[number] : bounds[number + 1]] for number in contrasts])
        steepness = _steepness(stack, density, outline)
        bounds = stack.bounds(outline)
        for number, contrast in contrasts.items():
            sharpness[number] = _median(steepness[bounds[number] : bounds[number + 1]]) / contrast
    return sharpness


def _outline(stack: _Stack, mask: Mask) -> Places:
    """Pixels of ``mask`` beside one that is not of it, or at the edge of a field."""
    flat, line = mask.ravel(), stack.line_px
    middle = flat[line:-line]
    inner = middle & flat[: -2 * line] & flat[2 * line :] & flat[line - 1 : -line - 1] & flat[line + 1 : 1 - line]
    return np.flatnonzero(middle > inner) + line


def _contrast(density: NDArray[np.float32], nuclei: Mask) -> float:
    """Median density of nuclei over that of all else in a field; 0 where there is nothing else."""
    values, places = density.flatten(), np.flatnonzero(nuclei)
    if len(places) == len(values):
        return 0.0
    of_nuclei = _median(values.take(places))
    values[places] = np.inf
    return of_nuclei - _median(values, len(values) - len(places))


def _median(values: NDArray[np.float32], count: int | None = None) -> float:
    """As ``np.median`` of the ``count`` (default: all) smallest values."""
    count = len(values) if count is None else count
    middle = count // 2
    # Parted at one place numpy is quick, at two it is not.
    parted = np.partition(values, middle)
    low = parted[middle] if count % 2 else parted[:middle].max()
    return float((low + parted[middle]) / np.float32(2))


def _steepness(stack: _Stack, density: NDArray[np.float32], outline: Places) -> NDArray[np.float32]:
    """The steepest place within a pixel of each place of ``outline``, density per px."""
    flat, line = density.ravel(), stack.line_px
    around = outline + np.array([[down * line + right] for down in (-1, 0, 1) for right in (-1, 0, 1)])
    near = np.zeros(stack.shape, np.bool_)
    near.ravel()[around] = True
    near[:, (0, -1)] = near[:, :, (0, -1)] = False
    places = np.flatnonzero(near)
    in_field = places - stack.starts[:-1].repeat(np.diff(stack.bounds(places)))
    falling = (flat.take(places + line) - flat.take(places - line)) / stack.steps_down.take(in_field)
    across = (flat.take(places + 1) - flat.take(places - 1)) / stack.steps_right.take(in_field)
    steepness = np.zeros(flat.shape, np.float32)
    steepness[places] = np.hypot(falling, across)
    return np.asarray(steepness.take(around).max(axis=0))
