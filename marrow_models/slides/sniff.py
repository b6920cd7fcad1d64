"""Knowing a slide by its content, from its first bytes and its first directory."""

from __future__ import annotations

from typing import BinaryIO

from marrow_models.errors import SlideRefused
from marrow_models.slides import tiff_header
from marrow_models.slides.files import read_at

_DICOM_PREAMBLE = 128


def format_of(file: BinaryIO) -> str | None:
    """Name the container of a single-file slide; None for anything that is none.

    A TIFF file whose directories cannot be read is still ``tiff``: why it is refused is for its reader to say.
    """
    head = read_at(file, 0, _DICOM_PREAMBLE + 4)
    if head[_DICOM_PREAMBLE:] == b"DICM":
        return "dicom"
    if head[:4] not in tiff_header.MAGIC:
        return None
    try:
        return tiff_header.maker(file, tiff_header.read_layout(file))
    except SlideRefused:
        return "tiff"
