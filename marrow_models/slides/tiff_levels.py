"""Which directories of a TIFF file are the levels of the slide, and whether their pixels are what we read."""

from __future__ import annotations

import tifffile

from marrow_models.errors import Reason, SlideRefused

_REDUCED, _MASK = 1, 4
_RGB, _YCBCR = 2, 6
_JPEG = 7
COMPRESSIONS = frozenset({1, 5, _JPEG, 8, 32773, 32946, 34712, 50000})
"""None, LZW, JPEG, deflate (two codes), PackBits, JPEG 2000 and Zstandard."""
_NDPI_LENS, _NDPI_DEPTH, _NDPI_FLUORESCENCE = 65421, 65424, 65434
_MAX_SHAPE_ERROR = 0.02


def pyramid_pages(tiff: tifffile.TiffFile, dialect: str) -> list[tifffile.TiffPage]:
    """Directories of the slide's levels, the largest first; label, macro and thumbnail are none of them.

    Raises
    ------
    SlideRefused
        PIXEL_FORMAT where the slide is not 8-bit RGB brightfield in a compression we read, TRUNCATED where a level
        lies behind the end of the file.
    """
    pages = [tiff.pages[index].aspage() for index in range(len(tiff.pages))]
    if dialect == "ndpi":
        pages = _ndpi_pages(pages)
    base = pages[0]
    check_pixel_format(base)
    candidates = pages[1:] if base.subifds is None else _sub_pages(tiff, base)
    levels = [base]
    for page in candidates:
        if _is_level(levels[-1], page, dialect) and _same_shape(base, page):
            levels.append(page)
    return levels


def check_pixel_format(page: tifffile.TiffPage) -> None:
    """Refuse a directory whose pixels are not plain 8-bit RGB.

    Raises
    ------
    SlideRefused
        PIXEL_FORMAT.
    """
    bits = {page.bitspersample} if isinstance(page.bitspersample, int) else set(page.bitspersample)
    photometric, compression = int(page.photometric), int(page.compression)
    rgb = photometric == _RGB or (photometric == _YCBCR and compression == _JPEG)
    if page.samplesperpixel != 3 or bits != {8} or not rgb or page.imagedepth > 1:
        raise SlideRefused(
            Reason.PIXEL_FORMAT, f"{page.samplesperpixel} samples of {sorted(bits)} bits, photometric {photometric}"
        )
    if compression not in COMPRESSIONS:
        raise SlideRefused(Reason.PIXEL_FORMAT, f"TIFF compression {compression}")


def copyable(page: tifffile.TiffPage, dialect: str) -> bool:
    """Whether the tiles of a directory are JPEG streams of their own (NDPI has one stream for all)."""
    return bool(page.is_tiled and int(page.compression) == _JPEG and page.planarconfig == 1 and dialect != "ndpi")


def _ndpi_pages(pages: list[tifffile.TiffPage]) -> list[tifffile.TiffPage]:
    """Find the pyramid of an NDPI file in its middle focal plane; macro and map have a negative lens."""
    if any(str(page.tags.valueof(_NDPI_FLUORESCENCE, "")).strip("\0 ") for page in pages):
        raise SlideRefused(Reason.PIXEL_FORMAT, "a fluorescence slide")
    slide = [page for page in pages if float(page.tags.valueof(_NDPI_LENS, 0.0)) > 0]
    if not slide:
        raise SlideRefused(Reason.CORRUPT_HEADER, "no image with a lens")
    slide.sort(key=lambda page: (-page.imagewidth, abs(int(page.tags.valueof(_NDPI_DEPTH, 0)))))
    return slide


def _sub_pages(tiff: tifffile.TiffFile, base: tifffile.TiffPage) -> list[tifffile.TiffPage]:
    """Directories that the first one points at: the lower levels of an OME-TIFF."""
    found = []
    for index, offset in enumerate((base.subifds or ())[:64]):
        if offset >= tiff.filehandle.size:
            raise SlideRefused(Reason.TRUNCATED, "a level lies behind the end of the file")
        tiff.filehandle.seek(offset)
        found.append(tifffile.TiffPage(tiff, (0, index)))
    return found


def _is_level(above: tifffile.TiffPage, page: tifffile.TiffPage, dialect: str) -> bool:
    if page.imagewidth >= above.imagewidth or page.imagewidth < 1 or page.imagelength < 1:
        return False
    if page.is_tiled != above.is_tiled or page.samplesperpixel != 3 or int(page.compression) not in COMPRESSIONS:
        return False
    kind = int(page.subfiletype)
    if dialect == "aperio":  # label and macro are striped, and marked as reduced
        return kind == 0
    if dialect in ("ndpi", "ome-tiff"):
        return True
    return bool(kind & _REDUCED) and not kind & _MASK


def _same_shape(base: tifffile.TiffPage, page: tifffile.TiffPage) -> bool:
    """Whether both show the same area: equal proportions, up to the rounding of small levels."""
    expected = base.imagelength * page.imagewidth / base.imagewidth
    return bool(abs(page.imagelength - expected) <= 1.5 + _MAX_SHAPE_ERROR * expected)
