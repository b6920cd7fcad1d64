"""What every reader promises, held against every kind of source that can be made here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from marrow_models.errors import Reason, SlideRefused
from marrow_models.records import Rect
from marrow_models.slides import jpeg
from marrow_models.slides.inbox import find_slides
from marrow_models.slides.open import READERS, open_slide
from marrow_models.slides.openslide import OpenSlideReader
from marrow_models.slides.reader import SlideReader, TileUnreadable
from tests.unit.slide_files.sources import (
    CANARY,
    JPEG_2000,
    NATIVE,
    Dicom,
    Pixels,
    Svs,
    picture,
    reduced,
    write_mirax,
    write_ome_tiff,
    write_pyramidal_tiff,
    write_tiff,
)

PIXELS = picture(1024, 768, seed=3)


@dataclass(frozen=True)
class Case:
    """One kind of source: how it is written, and what is true of it."""

    write: Callable[[Path, Pixels], object]
    format: str
    um_per_px: float
    levels: int
    copyable: bool
    lossless: bool = False


def _series(folder: Path, pixels: Pixels) -> None:
    for factor in (1, 2, 4):
        Dicom(reduced(pixels, factor), um_per_px=0.25 * factor).write(folder / f"{factor}.dcm")
    for kind in ("LABEL", "OVERVIEW", "THUMBNAIL"):
        Dicom(picture(300, 300), kind=kind, syntax=JPEG_2000).write(folder / f"{kind}.dcm")


CASES = {
    "svs": Case(lambda d, p: Svs(p).write(d / "a.svs"), "aperio", 0.25, 2, True),
    "svs in rgb": Case(lambda d, p: Svs(p, rgb=True).write(d / "a.svs"), "aperio", 0.25, 2, True),
    "svs, decimal comma": Case(lambda d, p: Svs(p, mpp="0,2500").write(d / "a.svs"), "aperio", 0.25, 2, True),
    "svs in jpeg 2000": Case(
        lambda d, p: write_tiff(
            d / "a.svs", p, tile=(256, 256), compression=33005, resolution=None, description=f"Aperio|MPP=0.25|{CANARY}"
        ),
        "aperio-jp2k", 0.25, 1, False, True,
    ),
    "ome-tiff": Case(lambda d, p: write_ome_tiff(d / "a.ome.tif", p), "ome-tiff", 0.5, 2, False, True),
    "ome-tiff, jpeg": Case(
        lambda d, p: write_ome_tiff(d / "a.ome.tif", p, compression="jpeg", um_per_px=500.0, unit="nm"),
        "ome-tiff", 0.5, 2, True,
    ),
    "pyramidal tiff": Case(lambda d, p: write_pyramidal_tiff(d / "a.tif", p), "tiff", 0.5, 3, True),
    "one big strip": Case(lambda d, p: write_tiff(d / "a.tif", p, rowsperstrip=768), "tiff", 0.25, 1, False, True),
    "lzw strips": Case(
        lambda d, p: write_tiff(d / "a.tif", p, compression="lzw", predictor=True, rowsperstrip=7),
        "tiff", 0.25, 1, False, True,
    ),
    "planes apart": Case(
        lambda d, p: write_tiff(d / "a.tif", np.moveaxis(p, -1, 0), planarconfig="separate", photometric="rgb"),
        "tiff", 0.25, 1, False, True,
    ),
    "big-endian bigtiff": Case(
        lambda d, p: write_tiff(d / "a.tif", p, tile=(256, 256), bigtiff=True, byteorder=">"),
        "tiff", 0.25, 1, False, True,
    ),
    "jpeg 2000 tiff": Case(
        lambda d, p: write_tiff(d / "a.tif", p, tile=(256, 256), compression="jpeg2000"), "tiff", 0.25, 1, False, True
    ),
    "dicom series": Case(_series, "dicom", 0.25, 3, True),
    "dicom, no offset table": Case(
        lambda d, p: Dicom(p, offset_table=False).write(d / "a.dcm"), "dicom", 0.25, 1, True
    ),
    "dicom, jpeg 2000": Case(lambda d, p: Dicom(p, syntax=JPEG_2000).write(d / "a.dcm"), "dicom", 0.25, 1, False, True),
    "dicom, uncompressed": Case(lambda d, p: Dicom(p, syntax=NATIVE).write(d / "a.dcm"), "dicom", 0.25, 1, False, True),
    "mirax": Case(lambda d, p: write_mirax(d / "a.mrxs", p), "mirax", 0.25, 1, False),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def reader(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlideReader]:
    folder = tmp_path_factory.mktemp("source")
    case.write(folder, PIXELS)
    (entry,), refused = find_slides(folder)
    assert not refused
    with closing(open_slide(entry.path, entry.members)) as opened:
        yield opened


def test_it_tells_what_the_slide_is(case: Case, reader: SlideReader) -> None:
    info = reader.info
    assert info.format == case.format
    assert info.format in READERS
    assert (info.width_px, info.height_px) == (1024, 768)
    assert info.um_per_px == pytest.approx(case.um_per_px)
    assert len(info.levels) == case.levels
    assert [level.downsample for level in info.levels] == sorted(level.downsample for level in info.levels)
    assert info.levels[0].downsample == 1.0


def test_nothing_identifying_is_in_what_it_tells(reader: SlideReader) -> None:
    assert CANARY not in repr(reader.info)


def test_its_pixels_are_those_of_the_slide(case: Case, reader: SlideReader) -> None:
    got = reader.region(0, Rect(0, 0, 1024, 768))
    assert got.dtype == np.uint8
    assert got.shape == (768, 1024, 3)
    if case.lossless:
        np.testing.assert_array_equal(got, PIXELS)
    else:
        assert np.abs(got.astype(int) - PIXELS).mean() < 3


def test_every_level_shows_the_same_slide(reader: SlideReader) -> None:
    for number, level in enumerate(reader.info.levels):
        got = reader.region(number, Rect(0, 0, level.width_px, level.height_px))
        expected = reduced(PIXELS, round(level.downsample))
        assert np.abs(got[: expected.shape[0], : expected.shape[1]].astype(int) - expected).mean() < 4


@pytest.mark.parametrize(
    "rect", [Rect(500, 300, 40, 30), Rect(255, 255, 3, 3), Rect(0, 0, 1, 1), Rect(1000, 700, 24, 68)]
)
def test_a_region_is_the_same_part_of_the_whole(reader: SlideReader, rect: Rect) -> None:
    whole = reader.region(0, Rect(0, 0, 1024, 768))
    np.testing.assert_array_equal(reader.region(0, rect), whole[rect.y : rect.bottom, rect.x : rect.right])


def test_beyond_its_edges_there_is_white_glass(reader: SlideReader) -> None:
    got = reader.region(0, Rect(-10, -20, 30, 30))
    assert (got[:20] == 255).all()
    assert (got[:, :10] == 255).all()
    np.testing.assert_array_equal(got[20:, 10:], reader.region(0, Rect(0, 0, 20, 10)))
    assert (reader.region(0, Rect(1020, 760, 10, 20))[8:] == 255).all()


def test_copied_tiles_decode_alone_to_the_same_pixels(case: Case, reader: SlideReader) -> None:
    assert bool(reader.jpeg_levels) is case.copyable
    for level, colour in reader.jpeg_levels.items():
        size = reader.tile_size(level)
        assert size is not None
        info = reader.info.levels[level]
        for row in range(-(-info.height_px // size[1])):
            for column in range(-(-info.width_px // size[0])):
                stream = reader.encoded_tile(level, column, row)
                assert stream is not None
                x, y = column * size[0], row * size[1]
                width, height = min(size[0], info.width_px - x), min(size[1], info.height_px - y)
                tile = jpeg.decode(stream, colour, *size)[:height, :width]
                np.testing.assert_array_equal(tile, reader.region(level, Rect(x, y, width, height)))


def test_all_of_it_is_scanned(reader: SlideReader) -> None:
    assert reader.is_scanned(0, Rect(0, 0, 10, 10))
    assert reader.is_scanned(0, Rect(1000, 760, 24, 8))


def test_tifffile_and_openslide_see_the_same_svs(tmp_path: Path) -> None:
    path = Svs(PIXELS).write(tmp_path / "a.svs")
    with closing(open_slide(path)) as ours:
        mine = ours.region(0, Rect(0, 0, 1024, 768))
    np.testing.assert_array_equal(mine, tifffile.imread(path, series=0, level=0))
    with openslide.OpenSlide(path) as theirs:
        other = np.asarray(theirs.read_region((0, 0), 0, (1024, 768)))[..., :3]
    assert np.abs(mine.astype(int) - other).max() <= 4  # two builds of libjpeg


def test_openslides_reader_gives_what_tifffiles_gives(tmp_path: Path) -> None:
    path = Svs(PIXELS).write(tmp_path / "a.svs")
    with closing(open_slide(path)) as one, closing(OpenSlideReader(path, (path,), "aperio")) as two:
        assert two.info.um_per_px == one.info.um_per_px
        assert [(v.width_px, v.height_px) for v in two.info.levels] == [
            (v.width_px, v.height_px) for v in one.info.levels
        ]
        for level, rect in ((0, Rect(100, 200, 300, 250)), (1, Rect(20, 30, 64, 64))):
            assert np.abs(one.region(level, rect).astype(int) - two.region(level, rect)).max() <= 4


class TestUnscanned:
    def readers(self, folder: Path) -> Iterator[SlideReader]:
        absent = {(0, 0), (1, 2)}
        Svs(PIXELS, unscanned=absent, rgb=True).write(folder / "a.svs")
        Dicom(PIXELS, absent=absent).write(folder / "b.dcm")
        write_mirax(folder / "c.mrxs", PIXELS, absent=absent)
        for entry in find_slides(folder)[0]:
            with closing(open_slide(entry.path, entry.members)) as opened:
                yield opened

    def test_what_was_never_scanned_is_white_and_known_as_such(self, tmp_path: Path) -> None:
        seen = []
        for opened in self.readers(tmp_path):
            seen.append(opened.info.format)
            hole = Rect(0, 0, 256, 256)
            assert not opened.is_scanned(0, hole)
            assert opened.is_scanned(0, Rect(256, 0, 256, 256))
            assert (opened.region(0, hole) == 255).all()
            if 0 in opened.jpeg_levels:
                assert opened.encoded_tile(0, 0, 0) is None
                assert opened.encoded_tile(0, 1, 0) is not None
        assert seen == ["aperio", "dicom", "mirax"]


class TestDamage:
    def test_one_damaged_tile_costs_one_tile(self, tmp_path: Path) -> None:
        path = Svs(PIXELS, damaged={(1, 1): b"\xff\xd8 damaged"}).write(tmp_path / "a.svs")
        with closing(open_slide(path)) as opened:
            with pytest.raises(TileUnreadable):
                opened.encoded_tile(0, 1, 1)
            with pytest.raises(TileUnreadable):
                opened.region(0, Rect(300, 300, 10, 10))
            assert np.abs(opened.region(0, Rect(0, 0, 256, 256)).astype(int) - PIXELS[:256, :256]).mean() < 3

    def test_openslide_recovers_from_a_tile_that_does_not_decode(self, tmp_path: Path) -> None:
        path = Svs(PIXELS, damaged={(1, 1): b"\xff\xd8 damaged"}).write(tmp_path / "a.svs")
        with closing(OpenSlideReader(path, (path,), "aperio")) as opened:
            with pytest.raises(TileUnreadable):
                opened.region(0, Rect(256, 256, 256, 256))
            assert np.abs(opened.region(0, Rect(0, 0, 256, 256)).astype(int) - PIXELS[:256, :256]).mean() < 3

    def test_a_dicom_frame_that_does_not_decode_is_told(self, tmp_path: Path) -> None:
        path = Dicom(PIXELS, syntax=JPEG_2000).write(tmp_path / "a.dcm")
        data = bytearray(path.read_bytes())
        start = data.index(b"\xff\x4f\xff\x51")
        data[start : start + 200] = bytes(200)
        path.write_bytes(data)
        with closing(open_slide(path)) as opened:
            with pytest.raises(TileUnreadable):
                opened.region(0, Rect(0, 0, 10, 10))
            np.testing.assert_array_equal(opened.region(0, Rect(256, 0, 10, 10)), PIXELS[:10, 256:266])


def reason_for(path: Path) -> Reason:
    with pytest.raises(SlideRefused) as caught:
        open_slide(path, (path,))
    assert path.name not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (PIXELS[..., 0], {}),
        (PIXELS.astype(np.uint16), {"photometric": "rgb"}),
        (np.dstack([PIXELS, PIXELS[..., :1]]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (np.dstack([PIXELS, PIXELS[..., :1]]), {"photometric": "separated"}),
        (PIXELS.astype(np.float32), {"photometric": "rgb"}),
        (PIXELS[..., 0], {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}),
    ],
    ids=["grey", "16 bit", "alpha", "cmyk", "float", "palette"],
)
def test_what_is_not_8_bit_rgb_is_refused(tmp_path: Path, pixels: np.ndarray, options: dict[str, object]) -> None:
    assert reason_for(write_tiff(tmp_path / "a.tif", pixels, **options)) == Reason.PIXEL_FORMAT


def test_a_grey_dicom_slide_is_refused(tmp_path: Path) -> None:
    import pydicom

    path = Dicom(PIXELS, syntax=NATIVE).write(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.save_as(path)
    assert reason_for(path) == Reason.PIXEL_FORMAT


def test_a_series_without_a_level_is_refused(tmp_path: Path) -> None:
    assert reason_for(Dicom(PIXELS, kind="LABEL").write(tmp_path / "a.dcm")) == Reason.MISSING_SIDECAR


@pytest.mark.parametrize(
    ("resolution", "unit"), [((72, 72), "INCH"), ((1, 1), "NONE"), ((300, 300), "INCH"), ((0.5, 0.5), "CENTIMETER")]
)
def test_a_print_resolution_is_no_pixel_size(tmp_path: Path, resolution: tuple[float, float], unit: str) -> None:
    path = write_tiff(tmp_path / "a.tif", PIXELS, resolution=resolution, resolutionunit=unit)
    with closing(open_slide(path)) as opened:
        assert opened.info.um_per_px is None
        assert opened.stated_um_per_px is None


@pytest.mark.parametrize("mpp", ["0", "", "abc"])
def test_an_svs_without_a_pixel_size_has_none(tmp_path: Path, mpp: str) -> None:
    with closing(open_slide(Svs(PIXELS, mpp=mpp).write(tmp_path / "a.svs"))) as opened:
        assert opened.stated_um_per_px is None


def test_an_absurd_pixel_size_is_told_but_not_believed(tmp_path: Path) -> None:
    with closing(open_slide(Svs(PIXELS, mpp="1e9").write(tmp_path / "a.svs"))) as opened:
        assert opened.stated_um_per_px == (1e9, 1e9)
        assert opened.info.um_per_px is None
