"""The survey in plain words, field by field: what the quick one has to agree with to the last bit."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from marrow_models.field_look import (
    CLOT_RADIUS_UM,
    DARKEST_GLASS,
    EDGE_DENSITY,
    GLASS_PERCENTILE,
    LEAST_NUCLEUS_SHARE,
    FieldLook,
    rejection,
)
from marrow_models.model_settings import SurveySettings
from marrow_models.records import Field, Rect
from marrow_models.survey import LARGEST_MISSING_SHARE, Survey, _readability, field_grid, lost_px


def plain_survey(slide, bundle) -> Survey:
    settings = bundle.survey
    fields: list[Field] = []
    rejected: dict[str, float] = {}
    lost = lost_px(slide, settings)
    for number, rect in enumerate(field_grid(slide.info.width_px, slide.info.height_px, slide.um_per_px, settings)):
        mm2 = rect.width * rect.height * slide.um_per_px**2 / 1e6
        reason = "missing" if lost[number] > LARGEST_MISSING_SHARE * rect.width * rect.height else None
        if reason is None:
            look = plain_look_at(_low_power(slide, rect, settings), settings)
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


def plain_look_at(pixels: np.ndarray, settings: SurveySettings) -> FieldLook:
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
        sharpness=_sharpness(red, nuclei & ~core, scale, min(EDGE_DENSITY, settings.nucleus_density / 2)),
    )


def _low_power(slide, rect: Rect, settings: SurveySettings) -> np.ndarray:
    factor = slide.um_per_px / settings.um_per_px
    left, top = math.ceil(rect.x * factor), math.ceil(rect.y * factor)
    # A field that is thinner than a pixel of low power still gets one to look at.
    width = max(1, math.floor(rect.right * factor) - left)
    height = max(1, math.floor(rect.bottom * factor) - top)
    level = slide.level_for(settings.um_per_px)
    return slide.scaled_region(settings.um_per_px, Rect(left, top, width, height), from_level=level)


def _without_specks(mask: np.ndarray, least_px: float) -> np.ndarray:
    named, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(named.ravel())
    large = sizes >= least_px
    large[0] = False
    return np.asarray(large[named])


def _sharpness(density: np.ndarray, nuclei: np.ndarray, scale: float, least_contrast: float) -> float | None:
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
