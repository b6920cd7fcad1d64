"""The skeleton of a TIFF file, read by hand: enough to know its maker and to refuse a forged chain of directories.

General parsers follow such chains with good will; this one runs before them and does not.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides.files import read_at, size_of
from marrow_models.slides.gate import MAX_PAGES, MAX_TAGS

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MIN_BYTES = 256
"""A shorter file cannot hold a directory and a pixel: its offsets are wrong rather than its end missing."""
_TEXT_BYTES = 65_536
_NDPI_TAG = 65420
DESCRIPTION, COMPRESSION, SOFTWARE, XMP = 270, 259, 305, 700


@dataclass(frozen=True, slots=True)
class Layout:
    """How numbers are laid out in one TIFF file."""

    order: str
    """``<`` or ``>``."""
    big: bool
    ndpi: bool
    """Hamamatsu's dialect: classic directories linked by 64-bit offsets."""
    first: int
    """Offset of the first directory."""


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory: where its entries are, and where the next directory is (0 at the end)."""

    entries: bytes
    next: int


def read_layout(file: BinaryIO) -> Layout:
    """Read the header of a TIFF file.

    Raises
    ------
    SlideRefused
        CORRUPT_HEADER.
    """
    head = read_at(file, 0, 16)
    if head[:4] not in MAGIC or len(head) < 8:
        raise SlideRefused(Reason.CORRUPT_HEADER, "no TIFF header")
    order = "<" if head[:2] == b"II" else ">"
    if head[2:4] in (b"+\0", b"\0+"):
        if len(head) < 16 or struct.unpack_from(order + "HH", head, 4) != (8, 0):
            raise SlideRefused(Reason.CORRUPT_HEADER, "no BigTIFF header")
        return Layout(order, True, False, struct.unpack_from(order + "Q", head, 8)[0])
    classic = Layout(order, False, False, struct.unpack_from(order + "I", head, 4)[0])
    if order == "<" and len(head) >= 12:
        ndpi = Layout(order, False, True, struct.unpack_from("<Q", head, 4)[0])
        for candidate in (classic, ndpi):
            if _NDPI_TAG in _tags(file, candidate):
                return ndpi if ndpi.first < size_of(file) else Layout(order, False, True, classic.first)
    return classic


def read_directory(file: BinaryIO, layout: Layout, offset: int) -> Directory:
    """Read the entries of the directory at ``offset``.

    Raises
    ------
    SlideRefused
        TRUNCATED where it lies behind the end of the file, CORRUPT_HEADER where it cannot be one, TOO_MANY_PAGES
        where it has more entries than any slide's.
    """
    size = size_of(file)
    count_format, entry_bytes, next_format = _formats(layout)
    count_bytes, next_bytes = struct.calcsize(count_format), struct.calcsize(next_format)
    raw = read_at(file, offset, count_bytes) if offset < size else b""
    if len(raw) < count_bytes:
        reason = Reason.CORRUPT_HEADER if size < _MIN_BYTES else Reason.TRUNCATED
        raise SlideRefused(reason, "a directory lies behind the end of the file")
    count = struct.unpack(count_format, raw)[0]
    if not 0 < count <= MAX_TAGS:
        honest = count * entry_bytes <= size - offset  # a count that no file of this length holds is only a wrong byte
        reason = Reason.TOO_MANY_PAGES if count and honest else Reason.CORRUPT_HEADER
        raise SlideRefused(reason, f"a directory of {count} entries")
    raw = read_at(file, offset + count_bytes, count * entry_bytes + next_bytes)
    if len(raw) < count * entry_bytes + next_bytes:
        raise SlideRefused(Reason.TRUNCATED, "a directory is cut short")
    return Directory(raw[: count * entry_bytes], struct.unpack_from(next_format, raw, count * entry_bytes)[0])


def check_chain(file: BinaryIO, layout: Layout) -> int:
    """Follow all directories; return how many there are.

    Raises
    ------
    SlideRefused
        CORRUPT_HEADER for a loop or none at all, TOO_MANY_PAGES for more than any slide has; TRUNCATED for a cut file.
    """
    seen: set[int] = set()
    offset = layout.first
    while offset:
        if offset in seen:
            raise SlideRefused(Reason.CORRUPT_HEADER, "the directories form a loop")
        seen.add(offset)
        if len(seen) > MAX_PAGES:
            raise SlideRefused(Reason.TOO_MANY_PAGES, f"more than {MAX_PAGES} directories")
        offset = read_directory(file, layout, offset).next
    if not seen:
        raise SlideRefused(Reason.CORRUPT_HEADER, "no directory")
    return len(seen)


def maker(file: BinaryIO, layout: Layout) -> str:
    """Name the dialect of a TIFF file: ``aperio``, ``ndpi``, ``ome-tiff``, ``philips``, ... or ``tiff``."""
    if layout.ndpi:
        return "ndpi"
    tags = _tags(file, layout)
    description, software, xmp = (_text(file, layout, tags.get(code)) for code in (DESCRIPTION, SOFTWARE, XMP))
    signs = (
        ("aperio", description.startswith("Aperio")),
        ("philips", software.startswith("Philips") or "DPUfsImport" in description),
        ("ventana", "iScan" in xmp),
        ("leica", "leica-microsystems.com/scn" in description),
        ("trestle", software.startswith("MedScan")),
        ("ome-tiff", "<OME" in description and "openmicroscopy.org" in description),
    )
    return next((name for name, holds in signs if holds), "tiff")


def compression_of(file: BinaryIO, layout: Layout) -> int | None:
    """Compression tag of the first directory; None where there is none."""
    entry = _tags(file, layout).get(COMPRESSION)
    if entry is None:
        return None
    value: int = struct.unpack_from(layout.order + "H", entry, 12 if layout.big else 8)[0]
    return value


def _formats(layout: Layout) -> tuple[str, int, str]:
    if layout.big:
        return layout.order + "Q", 20, layout.order + "Q"
    return layout.order + "H", 12, layout.order + ("Q" if layout.ndpi else "I")


def _tags(file: BinaryIO, layout: Layout) -> dict[int, bytes]:
    """Entries of the first directory by their code; empty where it cannot be read."""
    try:
        entries = read_directory(file, layout, layout.first).entries
    except SlideRefused:
        return {}
    step = 20 if layout.big else 12
    parts = [entries[i : i + step] for i in range(0, len(entries), step)]
    return {struct.unpack_from(layout.order + "H", part)[0]: part for part in parts}


def _text(file: BinaryIO, layout: Layout, entry: bytes | None) -> str:
    """Return the beginning of a text or byte tag; empty where absent. For recognition only, never shown."""
    if entry is None:
        return ""
    number, inline = ("Q", 8) if layout.big else ("I", 4)
    count, offset = struct.unpack_from(f"{layout.order}{number}{number}", entry, 4)
    raw = entry[-inline:][:count] if count <= inline else read_at(file, offset, min(count, _TEXT_BYTES))
    return raw.decode("utf-8", "replace")
