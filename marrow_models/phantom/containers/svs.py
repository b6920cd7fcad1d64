"""Aperio SVS: level 0, a thumbnail, the smaller levels, then label and macro."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import tifffile

from marrow_models.phantom.containers.identity import SlideIdentity, label_picture, macro_picture
from marrow_models.phantom.containers.tiles import QUALITY, TIFF_SUBSAMPLING, TILE_PX, EncodedLevel, EncodedPyramid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAKER = "Aperio Image Library v12.0.15"
_OBJECTIVE = 40
_LABEL_TYPE, _MACRO_TYPE = 1, 9


def write_svs(path: Path, pyramid: EncodedPyramid, identity: SlideIdentity) -> None:
    """Write the slide to ``path``; the same arguments give the same bytes."""
    base = pyramid.levels[0]
    size = f"{base.width_px}x{base.height_px}"
    facts = (
        f"AppMag = {_OBJECTIVE}|MPP = {pyramid.um_per_px:.4f}|Filename = {identity.slide_name}|User = {identity.name}"
    )
    with tifffile.TiffWriter(path) as writer:
        _write_level(
            writer, base, f"{_MAKER}\r\n{size} [0,0 {size}] ({TILE_PX}x{TILE_PX}) JPEG/RGB Q={QUALITY}|{facts}"
        )
        height, width = pyramid.overview.shape[:2]
        _write_picture(writer, pyramid.overview, f"{_MAKER}\r\n{size} -> {width}x{height} - |{facts}", "jpeg", 0)
        for level in pyramid.levels[1:]:
            tiling = f"[0,0 {size}] ({TILE_PX}x{TILE_PX}) -> {level.width_px}x{level.height_px}"
            text = f"{_MAKER}\r\n{size} {tiling} JPEG/RGB Q={QUALITY}"
            _write_level(writer, level, text)
        label, macro = label_picture(identity), macro_picture(identity, pyramid.overview)
        for kind, picture, compression, subfile in (
            ("label", label, "lzw", _LABEL_TYPE),
            ("macro", macro, "jpeg", _MACRO_TYPE),
        ):
            text = f"{_MAKER}\r\n{kind} {picture.shape[1]}x{picture.shape[0]}"
            _write_picture(writer, picture, text, compression, subfile)


def _write_level(writer: tifffile.TiffWriter, level: EncodedLevel, description: str) -> None:
    writer.write(
        iter(level.tiles),
        shape=(level.height_px, level.width_px, 3),
        dtype="uint8",
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        compression="jpeg",
        subsampling=TIFF_SUBSAMPLING,
        description=description,
        metadata=None,
        software=False,
    )


def _write_picture(
    writer: tifffile.TiffWriter, picture: NDArray[np.uint8], description: str, compression: str, subfile: int
) -> None:
    writer.write(
        picture,
        photometric="rgb",
        compression=compression,
        rowsperstrip=16,
        subfiletype=subfile,
        description=description,
        metadata=None,
        software=False,
    )
