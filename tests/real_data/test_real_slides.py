"""Every real slide at hand: taken, or refused for the right reason."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
import zarr
from ome_zarr_models.v05 import Image

from marrow_models.errors import Reason, SlideRefused
from marrow_models.pyramid.ingest import ingest_slide
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import Rect
from marrow_models.slides.inbox import InboxEntry, find_slides
from marrow_models.slides.open import open_slide

WSI = Path(__file__).parents[2].parent / "shared" / "data" / "wsi"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not WSI.is_dir(), reason="the real slide files are not beside the project"),
]

TAKEN = {  # format, um/px, copied tiles
    "blood-composite.svs": ("aperio", 0.078, 335),
    "cmu-1-small-region.svs": ("aperio", 0.499, 130),
    "small.svs": ("aperio", 0.499, 1),
    "camelyon-jpeg.dcm": ("dicom", 28.9685, 15),
    "camelyon-jpeg2000.dcm": ("dicom", 28.9685, 0),
    "cells.ome.tif": ("ome-tiff", 0.25, 0),
}
REFUSED = {
    "broken/broken.svs": Reason.WRONG_TYPE,  # random bytes
    "broken/unopenable.tiff": Reason.PIXEL_FORMAT,  # TIFF compression 52479, which nobody knows
    "broken/unreadable.svs": Reason.TILE_ERRORS,  # opens, but its one tile does not decode
    "hamamatsu-dapi.ndpi": Reason.PIXEL_FORMAT,  # fluorescence
    "plain.tif": Reason.PIXEL_FORMAT,  # 16-bit grey
}


def entry_of(name: str) -> InboxEntry:
    return next(entry for entry in find_slides(WSI)[0] if entry.relative_name == name)


def test_every_file_is_accounted_for() -> None:
    entries, refused = find_slides(WSI)
    assert {e.relative_name for e in entries} | {r.relative_name for r in refused} == set(TAKEN) | set(REFUSED)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_for_its_reason(name: str, tmp_path: Path) -> None:
    refused = {entry.relative_name: entry.reason for entry in find_slides(WSI)[1]}
    if name not in refused:
        entry = entry_of(name)
        with pytest.raises(SlideRefused) as caught:
            ingest_slide(entry.path, entry.members, tmp_path / "s", um_per_px=0.25)
        refused[name] = caught.value.reason
        assert list(tmp_path.iterdir()) == []
    assert refused[name] == REFUSED[name]


@pytest.mark.parametrize("profile", ["copy", "portable"])
@pytest.mark.parametrize("name", TAKEN)
def test_what_can_be_read_is_stored_without_the_loss_of_a_pixel(name: str, profile: str, tmp_path: Path) -> None:
    entry, store = entry_of(name), tmp_path / "s.ome.zarr"
    receipt = ingest_slide(entry.path, entry.members, store, um_per_px=None, profile=profile)
    kind, um_per_px, copied = TAKEN[name]
    assert receipt.format == kind
    assert receipt.um_per_px == pytest.approx(um_per_px)
    assert receipt.copied_tiles == (copied if profile == "copy" else 0)
    assert receipt.missing_tiles == receipt.unscanned_px == 0
    Image.from_zarr(zarr.open_group(store, mode="r"))
    pyramid = Pyramid.open(store)
    with closing(open_slide(entry.path, entry.members)) as reader:
        rect = Rect(0, 0, receipt.width_px, receipt.height_px)
        stored = pyramid.region(0, rect)
        np.testing.assert_array_equal(stored, reader.region(0, rect))
    array = np.asarray(zarr.open_group(store, mode="r")["0"][:])
    np.testing.assert_array_equal(np.moveaxis(array, 0, -1), stored)


@pytest.mark.parametrize("name", ["blood-composite.svs", "cmu-1-small-region.svs", "small.svs", "cells.ome.tif"])
def test_the_store_is_what_tifffile_decodes(name: str, tmp_path: Path) -> None:
    ingest_slide(WSI / name, (), tmp_path / "s", um_per_px=None)
    expected = tifffile.imread(WSI / name, series=0, level=0)
    if expected.shape[0] == 3:
        expected = np.moveaxis(expected, 0, -1)
    pyramid = Pyramid.open(tmp_path / "s")
    np.testing.assert_array_equal(
        pyramid.region(0, Rect(0, 0, pyramid.info.width_px, pyramid.info.height_px)), expected
    )


@pytest.mark.parametrize("name", [name for name, (kind, *_) in TAKEN.items() if kind in ("aperio", "dicom")])
def test_openslide_sees_the_same(name: str, tmp_path: Path) -> None:
    ingest_slide(WSI / name, (), tmp_path / "s", um_per_px=None)
    pyramid = Pyramid.open(tmp_path / "s")
    with openslide.OpenSlide(WSI / name) as slide:
        assert slide.dimensions == (pyramid.info.width_px, pyramid.info.height_px)
        other = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3].astype(int)
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(pyramid.info.um_per_px, rel=1e-3)
    mine = pyramid.region(0, Rect(0, 0, pyramid.info.width_px, pyramid.info.height_px))
    assert np.abs(mine - other).max() <= 4  # two builds of the decoders


def test_a_copied_slide_is_no_larger_than_its_source_and_holds_nothing_of_its_label(tmp_path: Path) -> None:
    source, store = WSI / "blood-composite.svs", tmp_path / "s"
    receipt = ingest_slide(source, (), store, um_per_px=None)
    assert receipt.size_bytes < source.stat().st_size
    with tifffile.TiffFile(source) as tiff:
        strips = []
        for series in tiff.series[1:]:
            page = series.pages[0]
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                tiff.filehandle.seek(offset)
                strips.append(tiff.filehandle.read(count)[-64:])
    assert len(strips) > 80
    for path in store.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"CANARY" not in data
            assert not any(strip in data for strip in strips if len(strip) == 64 and len(set(strip)) > 8)


def test_an_ndpi_of_brightfield_would_be_read(tmp_path: Path) -> None:
    """The one NDPI at hand is fluorescence; without the name of its filter it stands for a brightfield slide."""
    data = (WSI / "hamamatsu-dapi.ndpi").read_bytes()
    assert data.count(b"DAPI 2 (387)") > 0
    path = tmp_path / "a.ndpi"
    path.write_bytes(data.replace(b"DAPI 2 (387)", b"\0" * 12))
    receipt = ingest_slide(path, (), tmp_path / "s", um_per_px=None)
    assert receipt.format == "ndpi"
    assert receipt.um_per_px == pytest.approx(0.22818, rel=1e-4)
    pyramid = Pyramid.open(tmp_path / "s")
    assert pyramid.info.objective_power == 40
    assert [(level.width_px, level.height_px) for level in pyramid.info.levels][:4] == [
        (3968, 4864), (1984, 2432), (992, 1216), (496, 608),
    ]  # fmt: skip
    with openslide.OpenSlide(path) as slide:
        for corner in ((0, 0), (1000, 2000), (3700, 4600)):
            theirs = np.asarray(slide.read_region(corner, 0, (256, 256)))[..., :3].astype(int)
            mine = pyramid.region(0, Rect(*corner, 256, 256))
            assert np.abs(mine - theirs).max() <= 4
