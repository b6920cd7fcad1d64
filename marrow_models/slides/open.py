"""Opening a slide with the reader that its content asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides import tiff_header
from marrow_models.slides.dicom import DicomReader
from marrow_models.slides.files import open_regular, size_of
from marrow_models.slides.mirax import is_mirax
from marrow_models.slides.openslide import OpenSlideReader
from marrow_models.slides.reader import SlideReader
from marrow_models.slides.sniff import format_of
from marrow_models.slides.tiff import TiffReader

READERS: dict[str, Callable[[Path, Sequence[Path], str], SlideReader]] = {
    "aperio": TiffReader,
    "aperio-jp2k": OpenSlideReader,
    "dicom": DicomReader,
    "leica": OpenSlideReader,
    "mirax": OpenSlideReader,
    "ndpi": TiffReader,
    "ome-tiff": TiffReader,
    "philips": OpenSlideReader,
    "tiff": TiffReader,
    "trestle": OpenSlideReader,
    "ventana": OpenSlideReader,
}
"""The reader of each format: called with the main file, all members, and the format's name."""

_APERIO_JP2K = frozenset({33003, 33005})
"""Aperio's own codes for JPEG 2000, one of them in YCbCr that the codec does not undo."""


def open_slide(path: Path, members: Sequence[Path] = ()) -> SlideReader:
    """Open the slide whose main file is ``path``; ``members`` are all of its files.

    Raises
    ------
    SlideRefused
        With the reason; nothing has been decoded then.
    """
    name = _format(path)
    return READERS[name](path, members, name)


def _format(path: Path) -> str:
    with open_regular(path) as file:
        if size_of(file) == 0:
            raise SlideRefused(Reason.EMPTY_FILE)
        if is_mirax(path):
            return "mirax"
        name = format_of(file)
        if name is None:
            raise SlideRefused(Reason.WRONG_TYPE)
        if name == "aperio" and tiff_header.compression_of(file, tiff_header.read_layout(file)) in _APERIO_JP2K:
            return "aperio-jp2k"
        return name
