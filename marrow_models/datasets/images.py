"""The pixels of a picture: an image file, a member of a tar archive, or a part of a slide.

Sizes and pixels are those that are stored; a note in the file to turn the picture (EXIF) is not followed,
because boxes were drawn on what is stored.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
import threading
import weakref
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from marrow_models.errors import MarrowError, UserError
from marrow_models.records import Rect
from marrow_models.slides.mirax import is_mirax, mirax_members
from marrow_models.slides.open import open_slide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from marrow_models.datasets.records import ImageRef
    from marrow_models.slides.reader import SlideReader

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
"""Endings (lower case) of the picture files that can be read."""

_LARGEST_PX = 80_000_000
"""No published smear picture is larger; a whole slide is read as a slide, part by part."""
_FORMATS = ("JPEG", "PNG", "BMP")
_TIFF = (".tif", ".tiff")
_Photometric = tifffile.PHOTOMETRIC
_JPEG = (tifffile.COMPRESSION.OJPEG, tifffile.COMPRESSION.JPEG)
"""Decoded to RGB whatever colours they were stored in."""
_DAMAGE = (
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    UnidentifiedImageError,
    tifffile.TiffFileError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
    SyntaxError,
    EOFError,
    ArithmeticError,
    struct.error,
)
"""What the decoders are known to raise for a file that is damaged."""


class _Damaged(MarrowError):
    """Why a picture cannot be used, without its name."""


def read_image(ref: ImageRef) -> NDArray[np.uint8]:
    """Pixels of a picture, shape (H, W, 3), RGB. Grey and palette become RGB, alpha is dropped.

    White where a part of a slide lies outside of it, or was never scanned.

    Raises
    ------
    UserError
        The picture is missing, damaged, of more than 8 bits a channel, or not one of :data:`SUFFIXES`.
    """
    if ref.rect_px is not None:
        return _slide_part(ref, ref.rect_px)
    try:
        with _stream(ref) as stream:
            return _tiff_pixels(stream) if _is_tiff(ref) else _pillow_pixels(stream)
    except FileNotFoundError as error:
        raise _missing(ref) from error
    except (_Damaged, *_DAMAGE) as error:
        raise _unreadable(ref, error) from error


def size_of(ref: ImageRef) -> tuple[int, int]:
    """(width, height) in pixels, from the header: no pixel is decoded. UserError as for :func:`read_image`."""
    if ref.rect_px is not None:
        return ref.rect_px.width, ref.rect_px.height
    try:
        with _stream(ref) as stream:
            if _is_tiff(ref):
                with tifffile.TiffFile(stream, name="picture", _multifile=False) as tiff:
                    return _checked(int(tiff.pages.first.imagewidth), int(tiff.pages.first.imagelength))
            with Image.open(stream, formats=_FORMATS) as image:
                return _checked(*image.size)
    except FileNotFoundError as error:
        raise _missing(ref) from error
    except (_Damaged, *_DAMAGE) as error:
        raise _unreadable(ref, error) from error


def content_digest(ref: ImageRef) -> str:
    """SHA-256 (hex) of the stored bytes; of size and pixels for a part of a slide. UserError if missing."""
    if ref.rect_px is not None:
        pixels = _slide_part(ref, ref.rect_px)
        return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return hashlib.sha256(read_bytes(ref)).hexdigest()


def read_bytes(ref: ImageRef) -> bytes:
    """The stored bytes of a file or of a member of an archive; UserError if missing."""
    try:
        return _member_bytes(ref.path, ref.member) if ref.member is not None else ref.path.read_bytes()
    except FileNotFoundError as error:
        raise _missing(ref) from error
    except OSError as error:
        raise _unreadable(ref, error) from error


def archive_index(path: Path) -> Mapping[str, tuple[int, int]]:
    """Name of each regular member of a tar archive to (offset, size) of its bytes, in the order of names.

    The archive is gone through once and looked at again only when it changed. UserError where it is no tar
    archive, or a compressed one, which could not be read in place.
    """
    try:
        stat = path.stat()
        return _index(path, stat.st_mtime_ns, stat.st_size)
    except (tarfile.TarError, EOFError, OSError) as error:
        cause = getattr(error, "strerror", None) or "not an uncompressed tar archive, or cut off"
        raise UserError(f"{path}: {cause}. Unpack it, or store it as a plain .tar.") from error


@lru_cache(maxsize=32)
def _index(path: Path, modified_ns: int, size: int) -> Mapping[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            if not member.isreg() or member.issparse():
                continue
            if member.offset_data + member.size > size:
                raise tarfile.ReadError("cut off")
            found[member.name.removeprefix("./")] = (member.offset_data, member.size)
    return MappingProxyType(dict(sorted(found.items())))


def _member_bytes(path: Path, member: str) -> bytes:
    index = archive_index(path)
    if member not in index:
        raise FileNotFoundError(member)
    offset, size = index[member]
    with path.open("rb") as file:  # opened anew, so that worker processes share no position
        return os.pread(file.fileno(), size, offset)


def _stream(ref: ImageRef) -> AbstractContextManager[BinaryIO]:
    if ref.member is not None:
        return nullcontext(io.BytesIO(_member_bytes(ref.path, ref.member)))
    return ref.path.open("rb")


def _is_tiff(ref: ImageRef) -> bool:
    return ref.name.lower().endswith(_TIFF)


def _pillow_pixels(stream: BinaryIO) -> NDArray[np.uint8]:
    with Image.open(stream, formats=_FORMATS) as image:
        _checked(*image.size)
        if image.mode.startswith(("I", "F")):
            raise _Damaged("more than 8 bits a channel")
        return np.array(image.convert("RGB"))


def _tiff_pixels(stream: BinaryIO) -> NDArray[np.uint8]:
    """The first page. ``Pillow`` knows fewer of the layouts and compressions that microscopes write."""
    with tifffile.TiffFile(stream, name="picture", _multifile=False) as tiff:
        page = tiff.pages.first.aspage()
        _checked(int(page.imagewidth), int(page.imagelength))
        end = stream.seek(0, os.SEEK_END)
        parts = zip(page.dataoffsets, page.databytecounts, strict=True)
        if any(count == 0 or offset + count > end for offset, count in parts):
            raise _Damaged("it is cut off")  # the decoder would fill up without a word
        if page.dtype != np.uint8:
            raise _Damaged("not 8 bits a channel")
        pixels = page.asarray()
        if page.axes == "SYX":
            pixels = np.moveaxis(pixels, 0, -1)
        kind = int(page.photometric)
        if kind == _Photometric.PALETTE:
            colours = np.asarray(page.colormap, np.uint16) >> 8
            return np.ascontiguousarray(colours.T.astype(np.uint8)[pixels])
        if kind == _Photometric.MINISWHITE:
            pixels = 255 - pixels
        elif kind not in (_Photometric.MINISBLACK, _Photometric.RGB) and page.compression not in _JPEG:
            raise _Damaged("its colours are neither grey, palette nor RGB")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] == 0:
        raise _Damaged(f"its pixels have the shape {pixels.shape}")
    return np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2))


def _checked(width_px: int, height_px: int) -> tuple[int, int]:
    if width_px < 1 or height_px < 1 or width_px * height_px > _LARGEST_PX:
        raise _Damaged(f"its header claims {width_px} x {height_px} px")
    return width_px, height_px


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class _OpenSlide:
    reader: SlideReader


@lru_cache(maxsize=8)
def _open_slide(path: Path, process: int, thread: int) -> _OpenSlide:
    """One reader a process and thread: file handles survive a fork, but not what libraries keep with them."""
    made = _OpenSlide(open_slide(path, mirax_members(path) if is_mirax(path) else ()))
    weakref.finalize(made, made.reader.close)
    return made


def _slide_part(ref: ImageRef, rect: Rect) -> NDArray[np.uint8]:
    if not ref.path.exists():
        raise _missing(ref)
    try:
        _checked(rect.width, rect.height)
        slide = _open_slide(ref.path.resolve(), os.getpid(), threading.get_ident())
        return slide.reader.region(0, rect)
    except MarrowError as error:
        raise _unreadable(ref, error) from error


def _called(ref: ImageRef) -> str:
    part = "" if ref.rect_px is None else f" (part at {ref.rect_px.x}, {ref.rect_px.y})"
    return f"{ref.path}{part}" if ref.member is None else f"{ref.path}: {ref.member}"


def _missing(ref: ImageRef) -> UserError:
    return UserError(f"{_called(ref)}: the picture is not there. Check that the data set is complete.")


def _unreadable(ref: ImageRef, error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    cause = str(error) if isinstance(error, MarrowError) else type(error).__name__
    known = ", ".join(sorted(SUFFIXES))
    return UserError(
        f"{_called(ref)}: the picture cannot be read ({cause}). Wanted is an 8-bit picture ({known}) that is whole; "
        "copy it again, or take it out of the data set."
    )
