"""Small source slides of every kind, written on the fly with pixels that are known."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import tifffile
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, generate_uid
from scipy.ndimage import zoom

Pixels = NDArray[np.uint8]
CANARY = "CANARY-DOE-JANE"
JPEG, JPEG_2000, NATIVE = (UID(f"1.2.840.10008.1.2{end}") for end in (".4.50", ".4.90", ".1"))


def picture(width: int, height: int, seed: int = 0, cell: int = 24) -> Pixels:
    """A smooth picture without any symmetry, so that a tile in the wrong place is seen."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 230, (max(2, height // cell), max(2, width // cell), 3))
    factors = height / coarse.shape[0], width / coarse.shape[1], 1
    return zoom(coarse, factors, order=1).clip(0, 255).astype(np.uint8)


def reduced(pixels: Pixels, factor: int) -> Pixels:
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    cut = pixels[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    return cut.mean((1, 3)).round().astype(np.uint8)


def tiles(pixels: Pixels, width: int, height: int) -> Iterator[tuple[int, int, Pixels]]:
    """(row, column, tile) in rows, filled up at the edges by repeating the last pixel."""
    rows, columns = -(-pixels.shape[0] // height), -(-pixels.shape[1] // width)
    rest = ((0, rows * height - pixels.shape[0]), (0, columns * width - pixels.shape[1]), (0, 0))
    full = np.pad(pixels, rest, mode="edge")
    for row in range(rows):
        for column in range(columns):
            yield row, column, full[row * height : (row + 1) * height, column * width : (column + 1) * width]


def jpeg_of(pixels: Pixels, *, rgb: bool = False) -> bytes:
    colour = {"outcolorspace": "RGB"} if rgb else {"outcolorspace": "YCBCR", "subsampling": "420"}
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=90, colorspace="RGB", **colour))


@dataclass
class Svs:
    """An Aperio-like slide: baseline, striped thumbnail, further levels, label and macro with an identity on them."""

    pixels: Pixels
    factors: tuple[int, ...] = (4,)
    tile: int = 256
    mpp: str = "0.2500"
    rgb: bool = False
    damaged: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    """(row, column) of level 0: the bytes to write instead of the tile's stream."""
    unscanned: Collection[tuple[int, int]] = ()
    damaged_below: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    """The same of the first level below."""

    def write(self, path: Path) -> Path:
        height, width = self.pixels.shape[:2]
        text = f"Aperio Image Library v12\r\n{width}x{height} [0,0 {width}x{height}] ({self.tile}x{self.tile}) JPEG/RGB"
        about = f"{text}|AppMag = 40|MPP = {self.mpp}|Patient = {CANARY}|Date = 01/02/24"
        striped = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
        marked = np.full((64, 96, 3), 250, np.uint8)
        marked[20:40, 10:80] = np.frombuffer((CANARY * 400).encode()[: 20 * 70 * 3], np.uint8).reshape(20, 70, 3)
        with tifffile.TiffWriter(path) as tiff:
            self._level(tiff, self.pixels, about, self.damaged, self.unscanned)
            tiff.write(reduced(self.pixels, 8), rowsperstrip=16, description=f"{text} -> thumbnail", **striped)
            for number, factor in enumerate(self.factors):
                damaged = self.damaged_below if number == 0 else {}
                self._level(tiff, reduced(self.pixels, factor), f"{text} -> level", damaged, ())
            label = {"photometric": "rgb", "compression": None, "metadata": None}
            tiff.write(marked, rowsperstrip=64, description="Aperio\r\nlabel 96x64", subfiletype=1, **label)
            tiff.write(marked, rowsperstrip=64, description="Aperio\r\nmacro 96x64", subfiletype=9, **label)
        return path

    def _level(
        self,
        tiff: tifffile.TiffWriter,
        pixels: Pixels,
        text: str,
        damaged: Mapping[tuple[int, int], bytes],
        unscanned: Collection[tuple[int, int]],
    ) -> None:
        def streams() -> Iterator[bytes]:
            for row, column, tile in tiles(pixels, self.tile, self.tile):
                if (row, column) in unscanned:
                    yield b""
                else:
                    yield damaged.get((row, column), jpeg_of(tile, rgb=self.rgb))

        colour = {"photometric": "rgb"} if self.rgb else {"photometric": "ycbcr", "subsampling": (2, 2)}
        tiff.write(
            streams(),
            shape=pixels.shape,
            dtype=np.uint8,
            tile=(self.tile, self.tile),
            compression="jpeg",
            description=text,
            metadata=None,
            **colour,
        )


def write_ome_tiff(path: Path, pixels: Pixels, *, um_per_px: float | None = 0.5, unit: str = "µm", **options) -> Path:
    """An OME-TIFF whose lower level is a SubIFD, as QuPath and Bio-Formats write it."""
    metadata = {"axes": "YXS", "Name": CANARY}
    if um_per_px is not None:
        metadata |= {f"PhysicalSize{a}": um_per_px for a in "XY"} | {f"PhysicalSize{a}Unit": unit for a in "XY"}
    common = {"tile": (128, 128), "photometric": "rgb", "compression": "zlib"} | options
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(pixels, subifds=1, metadata=metadata, **common)
        tiff.write(reduced(pixels, 2), subfiletype=1, **common)
    return path


def write_tiff(path: Path, pixels: NDArray[np.generic], **options) -> Path:
    """A TIFF of one directory; 0.25 um/px in its tags unless told otherwise."""
    defaults = {"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER", "metadata": None}
    tifffile.imwrite(path, pixels, **(defaults | options))
    return path


def write_pyramidal_tiff(path: Path, pixels: Pixels, factors: tuple[int, ...] = (2, 4)) -> Path:
    """Consecutive directories, the lower ones marked as reduced: what vips and QuPath export."""
    common = {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, resolution=(20_000, 20_000), resolutionunit="CENTIMETER", **common)
        for factor in factors:
            tiff.write(reduced(pixels, factor), subfiletype=1, **common)
    return path


@dataclass
class Dicom:
    """One instance of a whole-slide series."""

    pixels: Pixels
    series: str = "1.2.3.4"
    kind: str = "VOLUME"
    syntax: UID = JPEG
    tile: int = 256
    um_per_px: float | None = 0.25
    absent: Collection[tuple[int, int]] = ()
    """(row, column) of tiles without a frame; makes the instance TILED_SPARSE."""
    offset_table: bool = True

    def write(self, path: Path) -> Path:
        data = pydicom.Dataset()
        data.SOPClassUID, data.SOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.77.1.6"), generate_uid()
        data.PatientName, data.PatientID, data.AccessionNumber = CANARY, CANARY, CANARY
        data.SeriesInstanceUID, data.Modality = self.series, "SM"
        data.ImageType = ["ORIGINAL", "PRIMARY", self.kind, "NONE"]
        data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = self.pixels.shape[:2]
        data.Rows = data.Columns = self.tile
        data.SamplesPerPixel, data.PlanarConfiguration = 3, 0
        data.BitsAllocated = data.BitsStored = 8
        data.HighBit, data.PixelRepresentation = 7, 0
        data.PhotometricInterpretation = "YBR_FULL_422" if self.syntax == JPEG else "RGB"
        if self.um_per_px is not None:
            data.SharedFunctionalGroupsSequence = Sequence([self._measures(self.um_per_px)])
        self._frames(data)
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = self.syntax
        data.save_as(path, enforce_file_format=True)
        return path

    @staticmethod
    def _measures(um_per_px: float) -> pydicom.Dataset:
        measures, group = pydicom.Dataset(), pydicom.Dataset()
        measures.PixelSpacing = [um_per_px / 1000] * 2
        group.PixelMeasuresSequence = Sequence([measures])
        return group

    def _frames(self, data: pydicom.Dataset) -> None:
        kept = [t for t in tiles(self.pixels, self.tile, self.tile) if (t[0], t[1]) not in self.absent]
        data.NumberOfFrames = len(kept)
        data.DimensionOrganizationType = "TILED_SPARSE" if self.absent else "TILED_FULL"
        if self.absent:
            data.PerFrameFunctionalGroupsSequence = Sequence([self._position(row, column) for row, column, _ in kept])
        if self.syntax == NATIVE:
            data.PixelData = b"".join(tile.tobytes() for _, _, tile in kept)
            data["PixelData"].VR = "OB"
            return
        frames = [self._encoded(tile) for _, _, tile in kept]
        data.PixelData = encapsulate(frames, has_bot=self.offset_table)
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True

    def _position(self, row: int, column: int) -> pydicom.Dataset:
        position, group = pydicom.Dataset(), pydicom.Dataset()
        position.ColumnPositionInTotalImagePixelMatrix = column * self.tile + 1
        position.RowPositionInTotalImagePixelMatrix = row * self.tile + 1
        group.PlanePositionSlideSequence = Sequence([position])
        return group

    def _encoded(self, tile: Pixels) -> bytes:
        if self.syntax == JPEG:
            return jpeg_of(tile)
        return bytes(imagecodecs.jpeg2k_encode(np.ascontiguousarray(tile), reversible=True, codecformat="J2K"))


def write_mirax(path: Path, pixels: Pixels, *, absent: Collection[tuple[int, int]] = (), tile: int = 256) -> Path:
    """A MIRAX slide of one level without overlaps, its pictures in one data file."""
    rows, columns = pixels.shape[0] // tile, pixels.shape[1] // tile
    folder, identity = path.with_suffix(""), "0123456789ABCDEF"
    folder.mkdir()
    data, records = bytearray(b"x" * 16), []
    for row, column, part in tiles(pixels, tile, tile):
        if (row, column) not in absent:
            stream = jpeg_of(part)
            records.append((row * columns + column, len(data), len(stream), 0))
            data += stream
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_mirax_index(identity, records))
    (folder / "Slidedat.ini").write_text(_mirax_ini(identity, columns, rows, tile), "utf-8")
    path.write_bytes(jpeg_of(np.full((32, 32, 3), 200, np.uint8)))
    return path


def _mirax_index(identity: str, records: list[tuple[int, int, int, int]]) -> bytes:
    head = b"01.02" + identity.encode()
    roots = len(head) + 8
    table = roots + 4
    page = table + 8
    body = struct.pack("<ii", roots, 0) + struct.pack("<i", table) + struct.pack("<ii", 0, page)
    body += struct.pack("<ii", len(records), 0)
    return head + body + b"".join(struct.pack("<4i", *record) for record in records)


def _mirax_ini(identity: str, columns: int, rows: int, tile: int) -> str:
    return f"""\ufeff[GENERAL]
SLIDE_ID = {identity}
SLIDE_NAME = {CANARY}
IMAGENUMBER_X = {columns}
IMAGENUMBER_Y = {rows}
OBJECTIVE_MAGNIFICATION = 40
[HIERARCHICAL]
INDEXFILE = Index.dat
HIER_COUNT = 1
NONHIER_COUNT = 0
HIER_0_NAME = Slide zoom level
HIER_0_COUNT = 1
HIER_0_VAL_0_SECTION = LEVEL_0
[LEVEL_0]
OVERLAP_X = 0
OVERLAP_Y = 0
MICROMETER_PER_PIXEL_X = 0.25
MICROMETER_PER_PIXEL_Y = 0.25
IMAGE_FORMAT = JPEG
IMAGE_FILL_COLOR_BGR = 16777215
DIGITIZER_WIDTH = {tile}
DIGITIZER_HEIGHT = {tile}
IMAGE_CONCAT_FACTOR = 0
[DATAFILE]
FILE_COUNT = 1
FILE_0 = Data0000.dat
"""
