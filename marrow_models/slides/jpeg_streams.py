"""JPEG streams of one level, which all begin alike: what was found out of one beginning holds for the next stream.

Both classes answer as the functions of :mod:`marrow_models.slides.jpeg` do, tile for tile, and remember only the
beginning (everything before the compressed pixels) of the last stream that they looked at in full.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from marrow_models.slides import jpeg
from marrow_models.slides.reader import ColourSpace

_SEQUENTIAL = frozenset({0xC0, 0xC1})
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")
"""Anything in compressed pixels that is neither a stuffed byte nor a restart."""


class StandingStreams:
    """As :func:`~marrow_models.slides.jpeg.self_standing` for tiles of one size under one set of tables.

    Safe across threads: what is remembered is replaced as a whole.
    """

    def __init__(self, tables: bytes, width_px: int, height_px: int) -> None:
        self._tables, self._width_px, self._height_px = tables, width_px, height_px
        self._known: tuple[bytes, bytes] | None = None
        """A beginning as the source has it, and as it stands alone."""

    def alone(self, stream: bytes) -> bytes:
        """Return ``stream`` as one that decodes alone.

        Raises
        ------
        TileUnreadable
            The stream is cut short or of another size.
        """
        known = self._known
        if known is not None and stream.startswith(known[0]):
            given, stands = known
            end = stream.rfind(jpeg.EOI)
            if len(given) <= end and len(stream) - end - 2 <= jpeg.MAX_TRAILER:
                if given == stands and end + 2 == len(stream):
                    return stream
                return stands + stream[len(given) : end + 2]
        found = jpeg.self_standing(stream, self._tables, self._width_px, self._height_px)
        start, end = _pixels_start(stream, jpeg.parse_header(stream).scan), stream.rfind(jpeg.EOI)
        if start <= end:
            self._known = stream[:start], found[: len(found) - (end + 2 - start)]
        return found


class ProvenStreams:
    """Whether self-standing streams of one level decode, without decoding each.

    libjpeg refuses a sequential stream for what it reads before the compressed pixels, or for a marker among them;
    wrong bits it draws as they are. So a stream decodes if its beginning is that of one that did, and no marker lies
    between there and its end. Whatever differs, and every progressive stream, is decoded in full.
    """

    def __init__(self, colour: ColourSpace, width_px: int, height_px: int) -> None:
        self._colour: ColourSpace = colour
        self._width_px, self._height_px = width_px, height_px
        self._proven: bytes | None = None

    def check(self, stream: bytes) -> None:
        """Make sure that ``stream`` decodes to the pixels of a tile.

        Raises
        ------
        TileUnreadable
            It does not.
        """
        proven = self._proven
        if (
            proven is None
            or not stream.startswith(proven)
            or not stream.endswith(jpeg.EOI)
            or _MARKER.search(stream, len(proven), len(stream) - 2) is not None
        ):
            self.decode(stream)

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Decode ``stream``, shape (height, width, 3), and remember how it begins.

        Raises
        ------
        TileUnreadable
            It does not decode to the pixels of a tile.
        """
        pixels = jpeg.decode(stream, self._colour, self._width_px, self._height_px)
        if self._proven is None or not stream.startswith(self._proven):
            header = jpeg.parse_header(stream)
            start = _pixels_start(stream, header.scan)
            in_one_scan = header.scan >= 0 and stream[header.scan + 4] == len(header.components)
            if header.frame in _SEQUENTIAL and in_one_scan:
                self._proven = stream[:start]
        return pixels


def _pixels_start(stream: bytes, scan: int) -> int:
    """Offset of the compressed pixels behind the start-of-scan segment at ``scan``."""
    return scan + 2 + int.from_bytes(stream[scan + 2 : scan + 4])
