"""Cheap checks before any decoder runs: whether the claim of a header is possible for the bytes behind it."""

from __future__ import annotations

from marrow_models.errors import Reason, SlideRefused

MAX_SIDE_PX = 1_000_000
"""The largest marrow slide published so far is 448,768 px tall; no scanner stage reaches a million."""
MAX_PIXELS = 200_000_000_000
MAX_EXPANSION = 10_000
"""Decoded bytes a byte of the file; honest slides stay below about 1,000 (OpenImageIO's limit)."""
MAX_PAGES = 10_000
MAX_TAGS = 4096
"""Entries of one directory."""
MAX_OUTSIDE_FRACTION = 0.01
"""Tiles that lie behind the end of the file: more of them, and the file is cut rather than damaged."""


def check_dimensions(width_px: int, height_px: int, file_bytes: int) -> None:
    """Refuse an impossible or hostile size of an 8-bit RGB image.

    Raises
    ------
    SlideRefused
        CORRUPT_HEADER for a side of zero, BOMB for a size no honest file of this length claims.
    """
    if width_px <= 0 or height_px <= 0:
        raise SlideRefused(Reason.CORRUPT_HEADER, f"{width_px} x {height_px} px")
    if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > MAX_PIXELS:
        raise SlideRefused(Reason.BOMB, f"{width_px} x {height_px} px")
    ratio = width_px * height_px * 3 // max(file_bytes, 1)
    if ratio > MAX_EXPANSION:
        raise SlideRefused(Reason.BOMB, f"{ratio} decoded bytes a byte of the file")


def check_within_file(outside: int, total: int) -> None:
    """Refuse a file of whose ``total`` tiles too many lie ``outside``.

    Raises
    ------
    SlideRefused
        TRUNCATED.
    """
    if outside > total * MAX_OUTSIDE_FRACTION:
        raise SlideRefused(Reason.TRUNCATED, f"{outside} of {total} tiles lie behind the end of the file")
