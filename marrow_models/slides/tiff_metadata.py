"""The few things a TIFF slide says of itself that may leave its reader: pixel size and objective."""

from __future__ import annotations

import re

import tifffile

from marrow_models.slides.pixel_size import (
    believable_power,
    from_resolution_tags,
    parse_decimal,
    stated,
    to_micrometres,
)

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _NDPI_LENS = 282, 283, 296, 65421
_OME_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b([^>]{0,4000})>")
_XML_ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


def aperio_properties(description: str) -> dict[str, float]:
    """Read the numbers ``MPP`` and ``AppMag`` of an Aperio description, and nothing else that stands there."""
    found: dict[str, float] = {}
    for part in description.split("|"):
        name, _, text = part.partition("=")
        value = parse_decimal(text)
        if name.strip() in ("MPP", "AppMag") and value is not None:
            found.setdefault(name.strip(), value)
    return found


def ome_pixels(description: str) -> dict[str, str]:
    """Attributes of the first ``Pixels`` element of OME-XML: sizes and units only, no free text is there."""
    match = _OME_PIXELS.search(description)
    if match is None:
        return {}
    return {name: double or single for name, double, single in _XML_ATTRIBUTE.findall(match.group(1))}


def stated_um_per_px(page: tifffile.TiffPage, dialect: str) -> tuple[float, float] | None:
    """Micrometres per pixel along x and y as the file states them in its dialect; None where it is silent."""
    if dialect == "aperio":
        mpp = aperio_properties(page.description).get("MPP")
        return stated(mpp, mpp)
    if dialect == "ome-tiff":
        pixels = ome_pixels(page.description)
        return stated(*(_ome_length(pixels, axis) for axis in "XY"))
    x, y = (_rational(page.tags.valueof(code)) for code in (_X_RESOLUTION, _Y_RESOLUTION))
    unit = int(page.tags.valueof(_RESOLUTION_UNIT, 2) or 2)
    if dialect == "ndpi":  # the scanner's own calibration, in pixels a centimetre
        return stated(1e4 / x if x else None, 1e4 / y if y else None)
    return from_resolution_tags(x, y, unit)


def objective_power(page: tifffile.TiffPage, dialect: str) -> float | None:
    """Magnification of the objective, where the dialect records it."""
    if dialect == "aperio":
        value = aperio_properties(page.description).get("AppMag")
    elif dialect == "ndpi":
        value = float(page.tags.valueof(_NDPI_LENS, 0.0))
    else:
        return None
    return believable_power(value)


def _ome_length(pixels: dict[str, str], axis: str) -> float | None:
    value = parse_decimal(pixels.get(f"PhysicalSize{axis}", ""))
    return None if value is None else to_micrometres(value, pixels.get(f"PhysicalSize{axis}Unit", "µm"))


def _rational(value: object) -> float:
    """Return a TIFF rational as a number; 0 where it is absent or has no denominator."""
    if not isinstance(value, tuple) or len(value) < 2 or not value[1]:
        return 0.0
    return float(value[0]) / float(value[1])
