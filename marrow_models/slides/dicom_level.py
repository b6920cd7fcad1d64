"""One DICOM instance as one level of a slide: its tiles and how their frames decode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides import jpeg, jpeg2000
from marrow_models.slides.dicom_frames import FrameTable, encapsulated_frames, native_frames
from marrow_models.slides.dicom_header import parsing, read_header
from marrow_models.slides.files import open_regular, read_at, size_of
from marrow_models.slides.gate import check_dimensions, check_within_file
from marrow_models.slides.jpeg_streams import StandingStreams
from marrow_models.slides.pixel_size import believable_power
from marrow_models.slides.reader import ColourSpace, TileUnreadable

JPEG_SYNTAXES = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
_NATIVE_SYNTAXES = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"})
_COLOURS = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_ABSENT = np.iinfo(np.int64).max


def _jpeg_ls(frame: bytes, width_px: int, height_px: int) -> NDArray[np.uint8]:
    try:
        pixels = imagecodecs.jpegls_decode(frame)
    except (RuntimeError, ValueError) as error:
        raise TileUnreadable(f"JPEG-LS: {type(error).__name__}") from None
    if pixels.shape != (height_px, width_px, 3):
        raise TileUnreadable(f"JPEG-LS decodes to {pixels.shape}")
    return np.asarray(pixels, np.uint8)


_DECODERS: dict[str, Callable[[bytes, int, int], NDArray[np.uint8]]] = {
    "1.2.840.10008.1.2.4.80": _jpeg_ls,
    "1.2.840.10008.1.2.4.90": jpeg2000.decode,
    "1.2.840.10008.1.2.4.91": jpeg2000.decode,
}


class DicomLevel:
    """An open instance. Attributes ending in ``_px`` are pixels; ``spacing_um`` is (x, y) micrometres per pixel.

    Raises
    ------
    SlideRefused
        CORRUPT_HEADER, TRUNCATED, BOMB or PIXEL_FORMAT.
    """

    def __init__(self, path: Path) -> None:
        self.file = open_regular(path)
        try:
            header, pixels_at = read_header(self.file)
            with parsing():
                self._read(header, pixels_at)
        except BaseException:
            self.file.close()
            raise

    def _read(self, header: Dataset, pixels_at: int) -> None:
        self.width_px, self.height_px = int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows)
        self.tile_width_px, self.tile_height_px = int(header.Columns), int(header.Rows)
        self.syntax = str(header.file_meta.TransferSyntaxUID)
        self.photometric = str(header.PhotometricInterpretation)
        self._planar = int(header.get("PlanarConfiguration", 0)) == 1
        self._check_pixels(header)
        check_dimensions(self.width_px, self.height_px, size_of(self.file))
        check_dimensions(self.tile_width_px, self.tile_height_px, size_of(self.file))
        self.streams = StandingStreams(b"", self.tile_width_px, self.tile_height_px)
        self.columns = -(-self.width_px // self.tile_width_px)
        self.rows = -(-self.height_px // self.tile_height_px)
        frames = int(header.get("NumberOfFrames", 1))
        self._frame_of = self._sparse_map(header, frames) if _is_sparse(header) else self._full_map(header, frames)
        self._table = self._locate(header, pixels_at, frames)
        check_within_file(self._table.outside(size_of(self.file)), frames)
        self.spacing_um = _spacing(header)
        self.objective_power = _objective(header)

    def _check_pixels(self, header: Dataset) -> None:
        samples, bits = int(header.SamplesPerPixel), int(header.BitsAllocated)
        if samples != 3 or bits != 8 or self.photometric not in _COLOURS:
            raise SlideRefused(Reason.PIXEL_FORMAT, f"{samples} samples of {bits} bits")
        native = self.syntax in _NATIVE_SYNTAXES
        if not native and self.syntax not in JPEG_SYNTAXES and self.syntax not in _DECODERS:
            raise SlideRefused(Reason.PIXEL_FORMAT, f"DICOM transfer syntax {self.syntax}")
        if native and self.photometric != "RGB":
            raise SlideRefused(Reason.PIXEL_FORMAT, "uncompressed YCbCr")

    def _full_map(self, header: Dataset, frames: int) -> NDArray[np.int64]:
        """Frames of TILED_FULL: row by row, the middle one of the focal planes."""
        tiles = self.rows * self.columns
        planes = int(header.get("TotalPixelMatrixFocalPlanes", 1) or 1)
        if int(header.get("NumberOfOpticalPaths", 1) or 1) != 1:
            raise SlideRefused(Reason.PIXEL_FORMAT, "several optical paths")
        if frames != tiles * planes:
            raise SlideRefused(Reason.CORRUPT_HEADER, f"{frames} frames for {tiles} tiles in {planes} planes")
        return np.arange(tiles, dtype=np.int64).reshape(self.rows, self.columns) + planes // 2 * tiles

    def _sparse_map(self, header: Dataset, frames: int) -> NDArray[np.int64]:
        """Frames of TILED_SPARSE by the position each of them states; tiles without a frame were never scanned."""
        if len(header.PerFrameFunctionalGroupsSequence) != frames:
            raise SlideRefused(Reason.CORRUPT_HEADER, "not one position for each frame")
        found = np.full((self.rows, self.columns), _ABSENT, np.int64)
        for index, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
            position = frame.PlanePositionSlideSequence[0]
            x = int(position.ColumnPositionInTotalImagePixelMatrix) - 1
            y = int(position.RowPositionInTotalImagePixelMatrix) - 1
            if x % self.tile_width_px or y % self.tile_height_px or x < 0 or y < 0:
                raise SlideRefused(Reason.PIXEL_FORMAT, "frames that lie off the grid of tiles")
            if x >= self.width_px or y >= self.height_px:
                raise SlideRefused(Reason.CORRUPT_HEADER, "a frame lies outside the image")
            found[y // self.tile_height_px, x // self.tile_width_px] = index
        return found

    def _locate(self, header: Dataset, pixels_at: int, frames: int) -> FrameTable:
        explicit = self.syntax != "1.2.840.10008.1.2"
        length_bytes = 4
        first = pixels_at + 4 + (4 if explicit else 0) + length_bytes  # tag, VR and two reserved bytes, length
        if len(read_at(self.file, pixels_at, first - pixels_at)) < first - pixels_at:
            raise SlideRefused(Reason.TRUNCATED, "no pixel data")
        if self.syntax in _NATIVE_SYNTAXES:
            return native_frames(first, frames, self.tile_width_px * self.tile_height_px * 3)
        extended = header.get("ExtendedOffsetTable")
        return encapsulated_frames(self.file, first, frames, extended)

    @property
    def colour(self) -> ColourSpace | None:
        """Colour space of the frames where they are JPEG streams; None where they are not."""
        if self.syntax not in JPEG_SYNTAXES:
            return None
        declared: ColourSpace = "rgb" if self.photometric == "RGB" else "ycbcr"
        for index in self._frame_of[self._frame_of != _ABSENT].flat:
            try:
                return jpeg.colour_space(jpeg.parse_header(self._table.read(self.file, int(index))), declared)
            except TileUnreadable:
                continue
        return declared

    def frame(self, column: int, row: int) -> bytes | None:
        """Bytes of the frame of a tile; None where it was never scanned."""
        index = int(self._frame_of[row, column])
        return None if index == _ABSENT else self._table.read(self.file, index)

    def has_frame(self, column: int, row: int) -> bool:
        """Whether a tile was scanned."""
        return int(self._frame_of[row, column]) != _ABSENT

    def decode(self, frame: bytes, colour: ColourSpace | None) -> NDArray[np.uint8]:
        """Decode one frame to RGB, shape (tile height, tile width, 3)."""
        width, height = self.tile_width_px, self.tile_height_px
        if colour is not None:
            return jpeg.decode(self.streams.alone(frame), colour, width, height)
        if self.syntax in _DECODERS:
            return _DECODERS[self.syntax](frame, width, height)
        pixels = np.frombuffer(frame, np.uint8)
        if self._planar:
            return np.ascontiguousarray(np.moveaxis(pixels.reshape(3, height, width), 0, -1))
        return pixels.reshape(height, width, 3)


def _is_sparse(header: Dataset) -> bool:
    organisation = str(header.get("DimensionOrganizationType", ""))
    return organisation == "TILED_SPARSE" or (not organisation and "PerFrameFunctionalGroupsSequence" in header)


def _spacing(header: Dataset) -> tuple[float, float] | None:
    """PixelSpacing, mm between rows and between columns, as (x, y) um/px; None where absent."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in list(header.get(groups) or [])[:1]:
            for measures in group.get("PixelMeasuresSequence") or []:
                rows, columns = measures.PixelSpacing
                return float(columns) * 1e3, float(rows) * 1e3
    return None


def _objective(header: Dataset) -> float | None:
    for path in header.get("OpticalPathSequence") or []:
        power = path.get("ObjectiveLensPower")
        return None if power is None else believable_power(float(power))
    return None
