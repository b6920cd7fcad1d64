"""JPEG streams of single tiles: made to stand alone, checked before they are decoded, decoded and encoded."""

from __future__ import annotations

from dataclasses import dataclass
from threading import local

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from marrow_models.slides.reader import ColourSpace, TileSizeMismatch, TileUnreadable

QUALITY = 90
"""Quality of tiles that we make ourselves (lower levels); tiles of the source are never encoded again."""

_SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_DHT, _SOS, _DQT, _DRI, _APP0, _APP14 = 0xC4, 0xDA, 0xDB, 0xDD, 0xE0, 0xEE
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive: what every decoder in the field reads."""
_NEEDED = _FRAMES | {_DHT, _DQT, _DRI, _APP14}
_OF_THREAD = local()
MAX_TRAILER = 64
"""Bytes of padding that writers leave behind the end of a stream."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What precedes the scan of a JPEG stream. Without a frame (tables only) the sizes are 0."""

    width_px: int
    height_px: int
    components: tuple[int, ...]
    """Component identifiers."""
    has_jfif: bool
    adobe_transform: int | None
    """Colour transform of the Adobe marker; None without one."""
    frame: int
    """Second byte of the frame's marker, which names the process; 0 without a frame."""
    needed: bytes
    """The segments a decoder needs: no comment, no application data, which may hold anything."""
    scan: int
    """Offset of the start-of-scan marker; -1 if there is none."""


def parse_header(stream: bytes) -> JpegHeader:
    """Read the marker segments before the scan.

    Raises
    ------
    TileUnreadable
        This is no JPEG stream, or it ends within its header.
    """
    if stream[:2] != _SOI:
        raise TileUnreadable("not a JPEG stream")
    width = height = frame = 0
    components: tuple[int, ...] = ()
    jfif, adobe, needed, position = False, None, [], 2
    while position + 4 <= len(stream) and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in (_SOS, 0xD9):
            break
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4])
        body = stream[position + 4 : end]
        if marker in _FRAMES and len(body) >= 6:
            height, width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
            components, frame = tuple(body[6 : 6 + 3 * body[5] : 3]), marker
        elif marker == _APP0 and body[:4] == b"JFIF":
            jfif = True
        elif marker == _APP14 and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        if marker in _NEEDED:
            needed.append(stream[position:end])
        position = end
    scan = position if stream[position : position + 2] == b"\xff\xda" else -1
    return JpegHeader(width, height, components, jfif, adobe, frame, b"".join(needed), scan)


def colour_space(header: JpegHeader, declared: ColourSpace) -> ColourSpace:
    """Decide how a stream's components are meant, the container having ``declared`` one colour space.

    A container that declares RGB is believed (Aperio writes such streams without any marker) unless the
    stream is JFIF, which is YCbCr by definition; one that declares YCbCr gives way to the stream's own word.
    """
    if declared == "rgb":
        return "ycbcr" if header.has_jfif else "rgb"
    if header.has_jfif:
        return "ycbcr"
    if header.adobe_transform is not None:
        return "rgb" if header.adobe_transform == 0 else "ycbcr"
    return "rgb" if bytes(header.components) == b"RGB" else "ycbcr"


def self_standing(stream: bytes, tables: bytes, width_px: int, height_px: int) -> bytes:
    """Return ``stream`` as one that decodes alone: ``tables`` put in, comments and application data left out.

    The compressed pixels are copied as they are. ``tables`` is :attr:`JpegHeader.needed` of the container's
    shared tables, or empty.

    Raises
    ------
    TileUnreadable
        The stream is cut short, or its own header does not say ``width_px`` x ``height_px`` in 3 components;
        the last is what keeps a forged header from claiming gigabytes.
    """
    header = parse_header(stream)
    if header.scan < 0:
        raise TileUnreadable("no scan in the JPEG stream")
    if (header.width_px, header.height_px, len(header.components)) != (width_px, height_px, 3):
        raise TileSizeMismatch(
            f"JPEG of {header.width_px} x {header.height_px} px, {len(header.components)} components, "
            f"in a tile of {width_px} x {height_px}"
        )
    end = stream.rfind(EOI)
    if end < header.scan or len(stream) - end - 2 > MAX_TRAILER:
        raise TileUnreadable("the JPEG stream is cut short")
    return b"".join((_SOI, tables, header.needed, stream[header.scan : end + 2]))


def decode(stream: bytes, colour: ColourSpace, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Decode a self-standing stream to RGB, shape (height, width, 3).

    Raises
    ------
    TileUnreadable
        It does not decode to that shape.
    """
    hot = _hot(height_px, width_px)
    try:
        # Names, not TIFF numbers: for colorspace=6 imagecodecs returns an empty array without an error.
        pixels = imagecodecs.jpeg8_decode(stream, colorspace=colour.upper(), outcolorspace="RGB", out=hot)
    except (RuntimeError, ValueError) as error:
        raise TileUnreadable(f"JPEG that is damaged or not of {width_px} x {height_px} px: {error}") from None
    return np.array(pixels)


def _hot(height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Memory (height, width, 3) of this thread to decode into, where its last tile lay.

    It is in the processor's cache. Decoding into memory that is not takes a third longer than the copy that follows.
    """
    last: NDArray[np.uint8] | None = getattr(_OF_THREAD, "hot", None)
    if last is None or last.shape != (height_px, width_px, 3):
        last = _OF_THREAD.hot = np.empty((height_px, width_px, 3), np.uint8)
    return last


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Encode RGB pixels, shape (height, width, 3), as YCbCr JPEG of :data:`QUALITY`, chroma 4:2:0 as scanners do."""
    return bytes(
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(pixels), level=QUALITY, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
        )
    )
