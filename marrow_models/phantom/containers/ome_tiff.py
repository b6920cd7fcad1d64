"""OME-TIFF: level 0 with the smaller levels as its sub-directories."""

from __future__ import annotations

from pathlib import Path

import tifffile

from marrow_models.phantom.containers.identity import SlideIdentity
from marrow_models.phantom.containers.tiles import TIFF_SUBSAMPLING, TILE_PX, EncodedLevel, EncodedPyramid


def write_ome_tiff(path: Path, pyramid: EncodedPyramid, identity: SlideIdentity) -> None:
    """Write the slide to ``path``; the same arguments give the same bytes."""
    base, *smaller = pyramid.levels
    metadata: dict[str, str | float] = {
        "axes": "YXS",
        "Name": identity.slide_name,
        "Description": f"May-Gruenwald-Giemsa bone marrow smear of {identity.name}",
        "PhysicalSizeX": pyramid.um_per_px,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": pyramid.um_per_px,
        "PhysicalSizeYUnit": "µm",
        "UUID": identity.guid("ome"),
        "Creator": "Marrow phantom",
    }
    with tifffile.TiffWriter(path, ome=True) as writer:
        _write_level(writer, base, pyramid.um_per_px, subifds=len(smaller), metadata=metadata)
        for level in smaller:
            _write_level(writer, level, pyramid.um_per_px * level.downsample, subfiletype=1)


def _write_level(
    writer: tifffile.TiffWriter,
    level: EncodedLevel,
    um_per_px: float,
    *,
    subifds: int = 0,
    subfiletype: int = 0,
    metadata: dict[str, str | float] | None = None,
) -> None:
    per_cm = 10_000 / um_per_px
    writer.write(
        iter(level.tiles),
        shape=(level.height_px, level.width_px, 3),
        dtype="uint8",
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        compression="jpeg",
        subsampling=TIFF_SUBSAMPLING,
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
        subifds=subifds,
        subfiletype=subfiletype,
        metadata=metadata,
        software=False,
    )
