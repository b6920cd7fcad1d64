"""TIFF slides through tifffile: Aperio SVS, Hamamatsu NDPI, OME-TIFF and plain (pyramidal, tiled or striped) TIFF."""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from marrow_models.errors import Reason, SlideRefused
from marrow_models.records import Rect, SlideInfo
from marrow_models.slides import jpeg, jpeg2000, tiff_header
from marrow_models.slides.cache import ArrayCache
from marrow_models.slides.files import open_regular, read_at, size_of
from marrow_models.slides.gate import check_dimensions, check_within_file
from marrow_models.slides.jpeg_streams import StandingStreams
from marrow_models.slides.levels import level_infos
from marrow_models.slides.pixel_size import believable
from marrow_models.slides.reader import ColourSpace, TileUnreadable
from marrow_models.slides.tiff_levels import copyable, pyramid_pages
from marrow_models.slides.tiff_metadata import objective_power, stated_um_per_px

# Its messages quote tags, which may hold a patient's name.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

_STRIP_CACHE_BYTES = 128 << 20
"""Strips as wide as the slide are read again for every tile along them."""
_TILE_CACHE_BYTES = 16 << 20
_MAX_SEGMENT_BYTES = 512 << 20
_JPEG, _JPEG2000, _UNCOMPRESSED = 7, 34712, 1
_PARSER_ERRORS = (
    tifffile.TiffFileError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError,
    OverflowError, ZeroDivisionError, MemoryError, struct.error, EOFError,
)  # fmt: skip
"""What a general parser raises on bytes that are not what they claim to be."""


class _Level:
    """One directory: where its tiles or strips lie and how they decode."""

    def __init__(self, page: tifffile.TiffPage, dialect: str) -> None:
        self.page = page
        self.width, self.height = int(page.imagewidth), int(page.imagelength)
        self.tiled = bool(page.is_tiled)
        self.seg_width = int(page.tilewidth) if self.tiled else self.width
        self.seg_height = int(page.tilelength) if self.tiled else min(int(page.rowsperstrip), self.height)
        if self.seg_width < 1 or self.seg_height < 1:
            raise SlideRefused(Reason.CORRUPT_HEADER, "tiles of no size")
        self.columns = -(-self.width // self.seg_width)
        self.rows = -(-self.height // self.seg_height)
        self.planes = 3 if page.planarconfig == 2 else 1
        self.offsets, self.counts = page.dataoffsets, page.databytecounts
        self.copyable = copyable(page, dialect)
        if min(len(self.offsets), len(self.counts)) < self.planes * self.rows * self.columns:
            raise SlideRefused(Reason.CORRUPT_HEADER, "fewer tiles than the image needs")
        if self.seg_width * self.seg_height * 3 > _MAX_SEGMENT_BYTES and int(page.compression) != _UNCOMPRESSED:
            raise SlideRefused(Reason.PIXEL_FORMAT, "tiles or strips of more than 512 MiB")

    @cached_property
    def streams(self) -> StandingStreams:
        tables = self.page.jpegtables
        needed = b"" if tables is None else jpeg.parse_header(tables).needed
        return StandingStreams(needed, self.seg_width, self.seg_height)


class TiffReader:
    """A slide in a TIFF file; see :class:`~marrow_models.slides.reader.SlideReader`.

    Raises
    ------
    SlideRefused
        CORRUPT_HEADER, TRUNCATED, BOMB or PIXEL_FORMAT, before any pixel is decoded.
    """

    def __init__(self, path: Path, members: Sequence[Path], dialect: str) -> None:
        self._file: BinaryIO = open_regular(path)
        self._size = size_of(self._file)
        try:
            layout = tiff_header.read_layout(self._file)
            tiff_header.check_chain(self._file, layout)
            try:
                self._levels = self._open(layout.ndpi, dialect)
                self.stated_um_per_px = stated_um_per_px(self._levels[0].page, dialect)
                self.info = self._describe(dialect)
            except _PARSER_ERRORS as error:
                raise SlideRefused(Reason.CORRUPT_HEADER, type(error).__name__) from None
        except BaseException:
            self._file.close()
            raise
        # One segment fits always: to decode a strip anew for every tile along it would take a slide's night.
        largest = max(level.seg_width * level.seg_height * 3 for level in self._levels)
        least = _STRIP_CACHE_BYTES if self.tile_size(0) is None else _TILE_CACHE_BYTES
        self._cache = ArrayCache(max(least, min(largest, _MAX_SEGMENT_BYTES)))

    def _open(self, ndpi: bool, dialect: str) -> list[_Level]:
        # A neutral name, so that no message can hold the file's; other files named by OME-XML stay closed.
        tiff = tifffile.TiffFile(self._file, name="slide", is_ndpi=ndpi, _multifile=False)
        pages = pyramid_pages(tiff, dialect)
        size = self._size
        check_dimensions(int(pages[0].imagewidth), int(pages[0].imagelength), size)
        for page in tiff.pages:  # label and macro too: where their end is missing, the file is cut
            check_within_file(*_segments_outside(page.aspage(), size))
        levels = [_Level(page, dialect) for page in pages]
        for level in levels:
            check_within_file(*_segments_outside(level.page, size))
        return levels

    def _describe(self, dialect: str) -> SlideInfo:
        base = self._levels[0]
        return SlideInfo(
            dialect,
            base.width,
            base.height,
            believable(self.stated_um_per_px),
            level_infos([(level.width, level.height) for level in self._levels]),
            objective_power(base.page, dialect),
        )

    @cached_property
    def jpeg_levels(self) -> Mapping[int, ColourSpace]:
        """Levels whose tiles can be copied, with the colour space of their streams."""
        found: dict[int, ColourSpace] = {}
        for number, level in enumerate(self._levels):
            if level.copyable:
                declared: ColourSpace = "rgb" if int(level.page.photometric) == 2 else "ycbcr"
                header = self._sample_header(level)
                found[number] = declared if header is None else jpeg.colour_space(header, declared)
        return MappingProxyType(found)

    def _sample_header(self, level: _Level) -> jpeg.JpegHeader | None:
        """Header of the first stream of a level that has one."""
        for index in range(len(level.counts)):
            if level.counts[index]:
                with suppress(TileUnreadable):
                    return jpeg.parse_header(self._segment_bytes(level, index))
        return None

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """Width and height of the tiles, px; None for strips."""
        found = self._levels[level]
        return (found.seg_width, found.seg_height) if found.tiled and found.page.jpegheader is None else None

    def encoded_tile(self, level: int, column: int, row: int) -> bytes | None:
        """One tile as a JPEG stream that decodes alone; None where the tile was never scanned."""
        found = self._levels[level]
        index = row * found.columns + column
        if found.counts[index] == 0:
            return None
        return found.streams.alone(self._segment_bytes(found, index))

    def is_scanned(self, level: int, rect: Rect) -> bool:
        """Whether a tile or strip that touches ``rect`` has bytes."""
        found = self._levels[level]
        return any(found.counts[index] for index, _, _ in _touched(found, rect))

    def region(self, level: int, rect: Rect) -> NDArray[np.uint8]:
        """Pixels of ``rect``, shape (height, width, 3)."""
        found = self._levels[level]
        out = np.full((rect.height, rect.width, 3), 255, np.uint8)
        for index, row, column in _touched(found, rect):
            y, x = row * found.seg_height, column * found.seg_width
            top, left = max(y, rect.y), max(x, rect.x)
            bottom = min(y + found.seg_height, rect.bottom, found.height)
            right = min(x + found.seg_width, rect.right, found.width)
            pixels = self._pixels(level, index, Rect(left - x, top - y, right - left, bottom - top))
            if pixels is not None:
                plane = index // (found.rows * found.columns)
                channels = slice(None) if found.planes == 1 else slice(plane, plane + 1)
                out[top - rect.y : bottom - rect.y, left - rect.x : right - rect.x, channels] = pixels
        return out

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _pixels(self, level: int, index: int, part: Rect) -> NDArray[np.uint8] | None:
        """Return a part of one tile or strip; None where it was never scanned."""
        found = self._levels[level]
        if found.counts[index] == 0:
            return None
        if int(found.page.compression) == _UNCOMPRESSED and int(found.page.predictor) == 1:
            return self._uncompressed(found, index, part)
        pixels = self._cache.get((level, index))
        if pixels is None:
            pixels = self._decoded(found, index)
            self._cache.put((level, index), pixels)
        cut = pixels[part.y : part.bottom, part.x : part.right]
        if cut.shape[:2] != (part.height, part.width):
            raise TileUnreadable("a tile or strip decodes to fewer pixels than it should hold")
        return cut

    def _uncompressed(self, level: _Level, index: int, part: Rect) -> NDArray[np.uint8]:
        """Rows of an uncompressed segment, read where they lie: such a strip may be the whole slide."""
        samples = 3 // level.planes
        stride = level.seg_width * samples
        offset = int(level.offsets[index]) + part.y * stride
        raw = read_at(self._file, offset, part.height * stride)
        if len(raw) < part.height * stride:
            raise TileUnreadable("behind the end of the file")
        rows = np.frombuffer(raw, np.uint8).reshape(part.height, level.seg_width, samples)
        return rows[:, part.x : part.right]

    def _decoded(self, level: _Level, index: int) -> NDArray[np.uint8]:
        data = self._segment_bytes(level, index)
        compression = int(level.page.compression)
        if level.copyable:
            level.streams.alone(data)  # a forged size must not reach a decoder
        elif compression == _JPEG2000:
            jpeg2000.check_size(data, level.seg_width, level.seg_height)
        try:
            decoded = level.page.decode(
                data, index, jpegtables=level.page.jpegtables, jpegheader=level.page.jpegheader
            ) if compression == _JPEG else level.page.decode(data, index)  # fmt: skip
        except MemoryError:  # the claimed size was checked: it is the process that is full, not the tile that lies
            raise
        except _PARSER_ERRORS as error:
            raise TileUnreadable(type(error).__name__) from None
        pixels = np.asarray(decoded[0])
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 // level.planes:
            raise TileUnreadable("a tile decodes to another kind of pixel")
        return np.asarray(pixels[0], np.uint8)

    def _segment_bytes(self, level: _Level, index: int) -> bytes:
        offset, count = int(level.offsets[index]), int(level.counts[index])
        if offset + count > self._size:
            raise TileUnreadable("behind the end of the file")
        data = read_at(self._file, offset, count)
        if len(data) < count:
            raise TileUnreadable("behind the end of the file")
        return data


def _segments_outside(page: tifffile.TiffPage, file_bytes: int) -> tuple[int, int]:
    """How many tiles or strips of a directory lie behind the end of the file, and how many there are."""
    pairs = zip(page.dataoffsets, page.databytecounts, strict=False)
    return sum(count > 0 and offset + count > file_bytes for offset, count in pairs), len(page.dataoffsets)


def _touched(level: _Level, rect: Rect) -> list[tuple[int, int, int]]:
    """Segments that ``rect`` touches: (index, row, column), plane by plane."""
    rows = range(max(rect.y, 0) // level.seg_height, -(-min(rect.bottom, level.height) // level.seg_height))
    columns = range(max(rect.x, 0) // level.seg_width, -(-min(rect.right, level.width) // level.seg_width))
    return [
        ((plane * level.rows + row) * level.columns + column, row, column)
        for plane in range(level.planes)
        for row in rows
        for column in columns
    ]
