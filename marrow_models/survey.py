"""Survey: at low power, where nucleated cells lie in a monolayer that can be read.

Each field of a slide-anchored grid is judged by what a person looks for with the 10x objective (ICSH 2008: intact,
contiguous nucleated cells, neither bare glass nor clots nor a blurred part): the area of nuclei by their optical
density in red light, how crowded it is, how sharp the edges of the nuclei are, and how much of it is known at all.
Optical density: Ruifrok and Johnston, Anal Quant Cytol Histol 2001;23:291-299.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from marrow_models.model_settings import SurveySettings
from marrow_models.records import Field, Rect

if TYPE_CHECKING:
    from marrow_models.bundle import Bundle
    from marrow_models.pyramid.store import Pyramid

GLASS_PERCENTILE = 95
"""The brightest pixels of a field are glass."""
DARKEST_GLASS = 150
"""Where even they are darker than this, the field holds no glass at all."""
LEAST_NUCLEUS_SHARE = 0.15
"""Smaller specks than this share of a typical nucleus are platelets and dirt."""
CLOT_RADIUS_UM = 8.0
"""Nothing in a monolayer is dark over more than this in every direction."""
LARGEST_CLOT_SHARE = 0.02
LARGEST_MISSING_SHARE = 0.25
_EDGE_DENSITY = 0.12


@dataclass(frozen=True, slots=True)
class FieldLook:
    """What a field looks like at low power."""

    nuclear_um2: float
    dark_share: float
    """Share of the field's area that is nucleus-like."""
    clot_share: float
    sharpness: float | None
    """Steepness of nuclear edges: share of the contrast per um. None without nuclei."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The fields of a slide that can be read, best first, and the area of those that cannot, by reason."""

    fields: tuple[Field, ...]
    readable_mm2: float
    rejected_mm2: dict[str, float]
    """``empty``, ``clot``, ``out_of_focus``, ``missing``."""


def survey(slide: Pyramid, bundle: Bundle) -> Survey:
    """Judge every field of a slide; memory is that of one row of fields.

    Raises SlideRefused(MPP_OUT_OF_RANGE) for a slide that the bundle's models cannot read.
    """
    bundle.check_scale(slide.um_per_px)
    settings = bundle.survey
    fields: list[Field] = []
    rejected: dict[str, float] = {}
    lost = lost_px(slide, settings)
    for number, rect in enumerate(field_grid(slide.info.width_px, slide.info.height_px, slide.um_per_px, settings)):
        mm2 = rect.width * rect.height * slide.um_per_px**2 / 1e6
        reason = "missing" if lost[number] > LARGEST_MISSING_SHARE * rect.width * rect.height else None
        if reason is None:
            look = look_at(_low_power(slide, rect, settings), settings)
            reason = rejection(look, settings)
        if reason is None:
            expected = look.nuclear_um2 / settings.nucleus_um2
            fields.append(Field(number, rect, round(expected, 3), round(_readability(look, settings), 3)))
        else:
            rejected[reason] = rejected.get(reason, 0.0) + mm2
    fields.sort(
        key=lambda field: (-field.readability * min(field.expected_cells, 1.0), -field.expected_cells, field.field_id)
    )
    readable = sum(f.rect_px.width * f.rect_px.height for f in fields) * slide.um_per_px**2 / 1e6
    return Survey(tuple(fields), readable, rejected)


def choose_fields(survey: Survey, target: int | None, *, among: Sequence[Field] | None = None) -> tuple[Field, ...]:
    """The best fields of ``among`` (default: all) until ``target`` cells are expected; all of them for None."""
    left = survey.fields if among is None else tuple(among)
    if target is None:
        return left
    chosen: list[Field] = []
    expected = 0.0
    for field in left:
        if expected >= target:
            break
        chosen.append(field)
        expected += field.expected_cells
    return tuple(chosen)


def neighbours(fields: Sequence[Field], side_px: int) -> list[tuple[Field, ...]]:
    """``fields`` in groups that lie in one square of ``side_px`` (level 0), the group of the first field first.

    To look at a group at once costs less than its fields one by one, and gives the same cells.
    """
    groups: dict[tuple[int, int], list[Field]] = {}
    for field in fields:
        groups.setdefault((field.rect_px.x // side_px, field.rect_px.y // side_px), []).append(field)
    return [tuple(group) for group in groups.values()]


def field_grid(width_px: int, height_px: int, um_per_px: float, settings: SurveySettings) -> Iterator[Rect]:
    """Disjoint squares of ``field_um`` anchored at the slide's corner; those at the far edges are cut."""
    side = _side_px(um_per_px, settings)
    for y in range(0, height_px, side):
        for x in range(0, width_px, side):
            yield Rect(x, y, min(side, width_px - x), min(side, height_px - y))


def lost_px(slide: Pyramid, settings: SurveySettings) -> NDArray[np.int64]:
    """Pixels of each field of :func:`field_grid` that are not known.

    Each area is looked at once, with the fields that it touches: a slide may have a hundred thousand of both.
    """
    side = _side_px(slide.um_per_px, settings)
    columns, rows = -(-slide.info.width_px // side), -(-slide.info.height_px // side)
    lost = np.zeros((rows, columns), np.int64)
    edge = (slide.info.width_px, slide.info.height_px) * 2
    for left, top, right, bottom in np.clip(slide.missing_px, 0, edge):
        across, first_column = _shares(left, right, side)
        down, first_row = _shares(top, bottom, side)
        part = lost[first_row : first_row + len(down), first_column : first_column + len(across)]
        part += down[:, None] * across
    return lost.ravel()


def look_at(pixels: NDArray[np.uint8], settings: SurveySettings) -> FieldLook:
    """Judge RGB pixels (h, w, 3) at the survey's scale."""
    glass = np.percentile(pixels.reshape(-1, 3), GLASS_PERCENTILE, axis=0)
    glass = np.where(glass < DARKEST_GLASS, 240.0, glass)
    red = np.asarray(np.log10(glass[0] / np.clip(pixels[..., 0], 1, None)), np.float32)
    if settings.blue_share:
        blue = np.log10(glass[2] / np.clip(pixels[..., 2], 1, None))
        red = np.asarray(red - settings.blue_share * blue, np.float32)
    scale = settings.um_per_px
    nuclei = _without_specks(red >= settings.nucleus_density, LEAST_NUCLEUS_SHARE * settings.nucleus_um2 / scale**2)
    radius = max(1, round(CLOT_RADIUS_UM / scale))
    clot = ndimage.minimum_filter(nuclei.view(np.uint8), 2 * radius + 1, mode="constant") > 0
    core = ndimage.maximum_filter(clot.view(np.uint8), 2 * radius + 1) > 0
    return FieldLook(
        nuclear_um2=float((nuclei & ~core).sum()) * scale**2,
        dark_share=float(nuclei.mean()),
        clot_share=float(core.mean()),
        sharpness=_sharpness(red, nuclei & ~core, scale, min(_EDGE_DENSITY, settings.nucleus_density / 2)),
    )


def rejection(look: FieldLook, settings: SurveySettings) -> str | None:
    """Why a field is not to be read, None when it is."""
    if look.clot_share > LARGEST_CLOT_SHARE or look.dark_share > settings.largest_dark_share:
        return "clot"
    if look.sharpness is None or look.nuclear_um2 < LEAST_NUCLEUS_SHARE * settings.nucleus_um2:
        return "empty"
    if look.sharpness < settings.least_sharpness:
        return "out_of_focus"
    return None


def _readability(look: FieldLook, settings: SurveySettings) -> float:
    """1 for an even, sharp field; less near the limits of crowding and focus."""
    crowded = look.dark_share / settings.largest_dark_share
    sharp = (look.sharpness or 0.0) / settings.least_sharpness - 1
    return max(0.05, min(1.0, 2 * (1 - crowded)) * min(1.0, 2 * sharp + 0.5))


def _side_px(um_per_px: float, settings: SurveySettings) -> int:
    return max(1, round(settings.field_um / um_per_px))


def _shares(start: int, end: int, side: int) -> tuple[NDArray[np.int64], int]:
    """How much of [start, end) lies in each interval of the grid that it touches, and the number of the first."""
    first = start // side
    edges = np.arange(first, -(-end // side) + 1, dtype=np.int64) * side
    inside = np.clip(edges, start, end)
    return inside[1:] - inside[:-1], int(first)


def _low_power(slide: Pyramid, rect: Rect, settings: SurveySettings) -> NDArray[np.uint8]:
    factor = slide.um_per_px / settings.um_per_px
    left, top = math.ceil(rect.x * factor), math.ceil(rect.y * factor)
    # A field that is thinner than a pixel of low power still gets one to look at.
    width = max(1, math.floor(rect.right * factor) - left)
    height = max(1, math.floor(rect.bottom * factor) - top)
    level = slide.level_for(settings.um_per_px)
    return slide.scaled_region(settings.um_per_px, Rect(left, top, width, height), from_level=level)


def _without_specks(mask: NDArray[np.bool_], least_px: float) -> NDArray[np.bool_]:
    named, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(named.ravel())
    large = sizes >= least_px
    large[0] = False
    return np.asarray(large[named])


def _sharpness(
    density: NDArray[np.float32], nuclei: NDArray[np.bool_], scale: float, least_contrast: float
) -> float | None:
    """Median steepness of the density at the outlines of nuclei, as a share of their contrast, per um."""
    outline = nuclei & ~ndimage.binary_erosion(nuclei)
    if outline.sum() < 4 or min(density.shape) < 2:
        return None
    contrast = float(np.median(density[nuclei])) - float(np.median(density[~nuclei])) if not nuclei.all() else 0.0
    if contrast < least_contrast:
        return 0.0
    rows, columns = np.gradient(density)
    steepness = ndimage.maximum_filter(np.hypot(rows, columns), 3)[outline]
    return float(np.median(steepness)) / contrast / scale
