"""From a source slide to a store that anybody can read, and back to the same pixels."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
import zarr
from ome_zarr_models.v05 import Image

from marrow_models.errors import Reason, SlideRefused, UserError
from marrow_models.pyramid import ingest as ingest_module
from marrow_models.pyramid.ingest import StoreReceipt, ingest_slide
from marrow_models.pyramid.made import halved
from marrow_models.pyramid.manifest import StoreError, check_content
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import MissingArea, Rect
from marrow_models.slides.inbox import InboxEntry, find_slides
from marrow_models.slides.open import open_slide
from tests.unit.slide_files.sources import (
    CANARY,
    JPEG_2000,
    Dicom,
    Svs,
    jpeg_of,
    picture,
    reduced,
    write_mirax,
    write_ome_tiff,
    write_tiff,
)

PIXELS = picture(1100, 900, seed=5)
WIDE = picture(2100, 700, seed=6, cell=120)
KINDS: dict[str, Callable[[Path], object]] = {
    "svs": lambda d: Svs(PIXELS).write(d / "a.svs"),
    "svs in rgb": lambda d: Svs(PIXELS, rgb=True).write(d / "a.svs"),
    "one level only": lambda d: Svs(WIDE, factors=()).write(d / "a.svs"),
    "a gap of sixteen": lambda d: Svs(WIDE, factors=(16,)).write(d / "a.svs"),
    "ome-tiff": lambda d: write_ome_tiff(d / "a.ome.tif", PIXELS),
    "strips": lambda d: write_tiff(d / "a.tif", WIDE, compression="zlib", rowsperstrip=11),
    "dicom": lambda d: Dicom(PIXELS, absent={(0, 0), (2, 3)}).write(d / "a.dcm"),
    "dicom, jpeg 2000": lambda d: Dicom(PIXELS, syntax=JPEG_2000).write(d / "a.dcm"),
    "mirax": lambda d: write_mirax(d / "a.mrxs", PIXELS[:768, :1024]),
}

JPEG_KINDS = {"svs", "svs in rgb", "one level only", "a gap of sixteen", "dicom"}


def whole(pyramid: Pyramid, level: int = 0) -> np.ndarray:
    info = pyramid.info.levels[level]
    return pyramid.region(level, Rect(0, 0, info.width_px, info.height_px))


def ingest(source: Path, store: Path, **options) -> StoreReceipt:
    return ingest_slide(source, (source,), store, **({"um_per_px": None} | options))


def refusal(source: Path, store: Path, **options) -> Reason:
    with pytest.raises(SlideRefused) as caught:
        ingest(source, store, **options)
    assert not store.exists()
    assert not list(store.parent.glob("*.partial-*"))
    return caught.value.reason


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "slides" / "s.ome.zarr"


@dataclass(frozen=True)
class Made:
    """A source of one kind and the store that was made of it."""

    kind: str
    profile: str
    entry: InboxEntry
    receipt: StoreReceipt
    store: Path
    pyramid: Pyramid


@pytest.fixture(scope="module", params=[(k, p) for k in KINDS for p in ("copy", "portable")], ids=", ".join)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    kind, profile = request.param
    inbox, store = tmp_path_factory.mktemp("inbox"), tmp_path_factory.mktemp("slides") / "s.ome.zarr"
    KINDS[kind](inbox)
    (entry,), _ = find_slides(inbox)
    receipt = ingest_slide(entry.path, entry.members, store, um_per_px=None, profile=profile)
    return Made(kind, profile, entry, receipt, store, Pyramid.open(store))


class TestEveryKind:
    def test_the_store_holds_the_pixels_of_the_source_at_every_level_it_has(self, made: Made) -> None:
        with closing(open_slide(made.entry.path, made.entry.members)) as reader:
            for number, level in enumerate(reader.info.levels):
                match = [n for n, v in enumerate(made.pyramid.info.levels) if v == level]
                assert match
                source = reader.region(number, Rect(-5, -5, level.width_px + 10, level.height_px + 10))
                stored = made.pyramid.region(match[0], Rect(-5, -5, level.width_px + 10, level.height_px + 10))
                np.testing.assert_array_equal(stored, source)

    def test_plain_zarr_reads_what_we_read(self, made: Made) -> None:
        group = zarr.open_group(made.store, mode="r")
        for number in range(len(made.pyramid.info.levels)):
            array = np.asarray(group[str(number)][:])
            np.testing.assert_array_equal(np.moveaxis(array, 0, -1), whole(made.pyramid, number))

    def test_the_metadata_are_valid_ome_ngff_in_micrometres(self, made: Made) -> None:
        image = Image.from_zarr(zarr.open_group(made.store, mode="r"))
        (multiscale,) = image.ome_attributes.multiscales
        assert [(axis.name, axis.unit) for axis in multiscale.axes] == [
            ("c", None), ("y", "micrometer"), ("x", "micrometer"),
        ]  # fmt: skip
        for dataset, level in zip(multiscale.datasets, made.pyramid.info.levels, strict=True):
            scale, shift = dataset.coordinateTransformations
            um = made.receipt.um_per_px
            assert scale.scale == pytest.approx([1, um * level.downsample, um * level.downsample])
            assert shift.translation == pytest.approx([0, *[um * (level.downsample - 1) / 2] * 2])

    def test_the_receipt_says_what_is_there(self, made: Made) -> None:
        receipt, info = made.receipt, made.pyramid.info
        assert (receipt.width_px, receipt.height_px, receipt.format) == (info.width_px, info.height_px, info.format)
        assert (receipt.um_per_px, receipt.levels) == (info.um_per_px, len(info.levels))
        files = [p for p in made.store.rglob("*") if p.is_file()]
        named = [p for p in files if p.name not in ("COMPLETE", "marrow-manifest.json")]
        assert receipt.size_bytes == sum(p.stat().st_size for p in named)
        assert (receipt.copied_tiles > 0) is (made.profile == "copy" and made.kind in JPEG_KINDS)
        assert (receipt.recoded_tiles > 0) is not (receipt.copied_tiles > 0)
        assert receipt.missing_tiles == receipt.missing_px == 0
        assert len(files) <= 20
        check_content(made.store)

    def test_the_coarsest_level_fits_a_screen_and_no_gap_is_wide(self, made: Made) -> None:
        levels = made.pyramid.info.levels
        assert max(levels[-1].width_px, levels[-1].height_px) <= 1024
        for one, two in pairwise(levels):
            assert 1 < two.downsample / one.downsample <= 4.2

    def test_all_levels_show_the_same_slide(self, made: Made) -> None:
        base = whole(made.pyramid).astype(int)
        for number, level in enumerate(made.pyramid.info.levels[1:], 1):
            factor = round(level.downsample)
            expected = reduced(base, factor)
            got = whole(made.pyramid, number)[: expected.shape[0], : expected.shape[1]].astype(int)
            assert np.abs(got - expected).mean() < 4

    def test_nothing_identifying_is_anywhere_in_the_store(self, made: Made) -> None:
        label = np.frombuffer((CANARY * 4).encode(), np.uint8).tobytes()
        for path in made.store.rglob("*"):
            assert CANARY not in path.name
            if path.is_file():
                data = path.read_bytes()
                assert CANARY.encode() not in data
                assert label not in data
                assert made.entry.path.name.encode() not in data


def test_copied_tiles_are_the_sources_own_byte_for_byte(tmp_path: Path, store: Path) -> None:
    source = Svs(PIXELS).write(tmp_path / "a.svs")
    ingest(source, store)
    shard = (store / "0" / "c" / "0" / "0" / "0").read_bytes()
    with tifffile.TiffFile(source) as tiff:
        page = tiff.pages.first
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            tiff.filehandle.seek(offset)
            stream = tiff.filehandle.read(count)
            assert stream[stream.index(b"\xff\xda") :] in shard


def test_an_svs_in_the_store_is_what_openslide_sees(tmp_path: Path, store: Path) -> None:
    source = Svs(PIXELS).write(tmp_path / "a.svs")
    ingest(source, store)
    with openslide.OpenSlide(source) as slide:
        other = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]
    assert np.abs(whole(Pyramid.open(store)).astype(int) - other).max() <= 4


def test_a_portable_store_opens_where_our_code_is_not(tmp_path: Path, store: Path) -> None:
    ingest(Svs(PIXELS).write(tmp_path / "a.svs"), store, profile="portable")
    program = (
        "import sys, zarr, hashlib, numpy as np; a = np.asarray(zarr.open_group(sys.argv[1], mode='r')['0'][:]);"
        "assert not [m for m in sys.modules if m.startswith('marrow')];"
        "print(hashlib.sha256(a.tobytes()).hexdigest())"
    )
    out = subprocess.run([sys.executable, "-c", program, str(store)], check=True, capture_output=True, text=True)
    import hashlib

    expected = np.ascontiguousarray(np.moveaxis(whole(Pyramid.open(store)), -1, 0))
    assert out.stdout.strip() == hashlib.sha256(expected.tobytes()).hexdigest()


class TestMadeLevels:
    def test_they_are_averages_of_averages_not_of_recoded_pictures(self, tmp_path: Path, store: Path) -> None:
        ingest(Svs(WIDE, factors=()).write(tmp_path / "a.svs"), store, profile="portable")
        pyramid = Pyramid.open(store)
        assert [level.downsample for level in pyramid.info.levels] == [1, 2, 4]
        np.testing.assert_array_equal(whole(pyramid, 1), halved(whole(pyramid, 0)))
        np.testing.assert_array_equal(whole(pyramid, 2), halved(whole(pyramid, 1)))

    def test_odd_sizes_lose_no_pixel(self, tmp_path: Path, store: Path) -> None:
        ingest(write_tiff(tmp_path / "a.tif", picture(2051, 301)), store)
        assert [(v.width_px, v.height_px) for v in Pyramid.open(store).info.levels] == [
            (2051, 301),
            (1026, 151),
            (513, 76),
        ]

    @pytest.mark.parametrize("size", [(1, 1), (255, 1), (1, 255), (257, 256)])
    def test_the_smallest_slides_are_taken(self, tmp_path: Path, store: Path, size: tuple[int, int]) -> None:
        pixels = np.full((size[1], size[0], 3), 90, np.uint8)
        ingest(write_tiff(tmp_path / "a.tif", pixels), store)
        np.testing.assert_array_equal(whole(Pyramid.open(store)), pixels)


class TestDamage:
    BAD = {(0, 3): b"\xff\xd8 damaged", (0, 4): jpeg_of(PIXELS[:256, :256])[:-500]}  # noqa: RUF012

    def test_a_lost_tile_is_white_and_known(self, tmp_path: Path, store: Path) -> None:
        receipt = ingest(Svs(WIDE, factors=(), damaged=self.BAD).write(tmp_path / "a.svs"), store, max_lost=0.1)
        pyramid = Pyramid.open(store)
        lost = Rect(768, 0, 512, 256)
        assert pyramid.missing == (MissingArea(lost, "undecodable"),)
        assert (receipt.missing_tiles, receipt.missing_px) == (2, 512 * 256)
        assert (pyramid.region(0, lost) == 255).all()
        assert (zarr.open_array(store / "0", mode="r")[:, 0:256, 768:1280] == 255).all()

    @pytest.mark.parametrize("profile", ["copy", "portable"])
    def test_what_is_lost_is_lost_in_the_levels_made_from_it(self, tmp_path: Path, store: Path, profile: str) -> None:
        ingest(Svs(WIDE, factors=(), damaged=self.BAD).write(tmp_path / "a.svs"), store, max_lost=0.1, profile=profile)
        pyramid = Pyramid.open(store)
        for level in (1, 2):
            factor = 2**level
            inner = Rect(768 // factor + 8, 0, 512 // factor - 16, 256 // factor - 8)
            assert pyramid.region(level, inner).min() >= 250
            beside = pyramid.region(level, Rect(0, 0, 64, 64))
            assert np.abs(beside.astype(int) - reduced(WIDE, factor)[:64, :64]).mean() < 4

    def test_more_than_a_hundredth_lost_is_too_much(self, tmp_path: Path, store: Path) -> None:
        source = Svs(WIDE, damaged=self.BAD).write(tmp_path / "a.svs")
        assert refusal(source, store) == Reason.TILE_ERRORS

    def test_a_lost_tile_of_a_lower_level_is_recorded_there(self, tmp_path: Path, store: Path) -> None:
        damaged = {(0, 0): b"\xff\xd8 damaged"}
        ingest(Svs(WIDE, damaged_below=damaged).write(tmp_path / "a.svs"), store, max_lost=0.1)
        pyramid = Pyramid.open(store)
        assert pyramid.missing == ()
        assert pyramid.missing_at(1) == (MissingArea(Rect(0, 0, 1024, 700), "undecodable"),)

    def test_tiles_never_scanned_are_no_damage(self, tmp_path: Path, store: Path) -> None:
        every_other = {(row, column) for row in range(3) for column in range(9) if (row + column) % 2}
        receipt = ingest(Svs(WIDE, unscanned=every_other).write(tmp_path / "a.svs"), store)
        pyramid = Pyramid.open(store)
        assert receipt.missing_tiles == 0
        assert receipt.unscanned_px == sum(area.rect_px.width * area.rect_px.height for area in pyramid.missing)
        assert {area.cause for area in pyramid.missing} == {"unscanned"}
        assert len(pyramid.missing) == len(every_other)

    def test_a_slide_of_which_nothing_was_scanned_is_refused(self, tmp_path: Path, store: Path) -> None:
        everything = {(row, column) for row in range(4) for column in range(5)}
        source = Svs(PIXELS, factors=(), unscanned=everything).write(tmp_path / "a.svs")
        assert refusal(source, store) == Reason.TILE_ERRORS


class TestScale:
    def test_a_slide_that_does_not_say_its_scale_needs_the_manifest(self, tmp_path: Path, store: Path) -> None:
        source = Svs(PIXELS, mpp="0").write(tmp_path / "a.svs")
        assert refusal(source, store) == Reason.NO_MPP
        assert ingest(source, store, um_per_px=0.12).um_per_px == 0.12
        assert Pyramid.open(store).info.um_per_px == 0.12

    def test_an_impossible_scale_is_refused_unless_the_manifest_corrects_it(self, tmp_path: Path, store: Path) -> None:
        source = Svs(PIXELS, mpp="1e9").write(tmp_path / "a.svs")
        assert refusal(source, store) == Reason.BAD_MPP
        assert refusal(source, store, um_per_px=0.0) == Reason.BAD_MPP
        assert ingest(source, store, um_per_px=0.25).um_per_px == 0.25


class TestIdempotence:
    def test_a_complete_store_is_left_as_it_is(self, tmp_path: Path, store: Path) -> None:
        source = Svs(PIXELS).write(tmp_path / "a.svs")
        first = ingest(source, store)
        times = {p: p.stat().st_mtime_ns for p in store.rglob("*")}
        assert ingest(source.rename(tmp_path / "renamed.svs"), store) == first
        assert {p: p.stat().st_mtime_ns for p in store.rglob("*")} == times

    def test_another_request_replaces_it(self, tmp_path: Path, store: Path) -> None:
        source = Svs(PIXELS).write(tmp_path / "a.svs")
        ingest(source, store)
        before = Pyramid.open(store)
        ingest(source, store, um_per_px=0.5)
        assert before.info.um_per_px == 0.25
        assert Pyramid.open(store).info.um_per_px == 0.5

    def test_a_refused_replacement_leaves_the_old_one(self, tmp_path: Path, store: Path) -> None:
        source = Svs(PIXELS).write(tmp_path / "a.svs")
        ingest(source, store)
        with pytest.raises(SlideRefused):
            ingest(source, store, um_per_px=-1.0)
        assert Pyramid.open(store).info.um_per_px == 0.25

    def test_two_ingests_write_the_same_bytes(self, tmp_path: Path, store: Path) -> None:
        source = Svs(WIDE, factors=()).write(tmp_path / "a.svs")
        ingest(source, store)
        ingest(source, tmp_path / "other")
        for path in store.rglob("*"):
            if path.is_file():
                assert path.read_bytes() == (tmp_path / "other" / path.relative_to(store)).read_bytes()

    def test_a_store_that_lost_a_shard_is_made_again(self, tmp_path: Path, store: Path) -> None:
        source = Svs(PIXELS).write(tmp_path / "a.svs")
        ingest(source, store)
        (store / "0" / "c" / "0" / "0" / "0").unlink()
        with pytest.raises(StoreError):
            Pyramid.open(store)
        ingest(source, store)
        np.testing.assert_array_equal(whole(Pyramid.open(store)), tifffile.imread(source, series=0, level=0))

    def test_there_are_two_profiles(self, tmp_path: Path, store: Path) -> None:
        with pytest.raises(UserError, match="copy or portable"):
            ingest(Svs(PIXELS).write(tmp_path / "a.svs"), store, profile="tiny")


class TestInterruption:
    def test_a_source_that_changes_while_it_is_read_is_refused(
        self, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = Svs(PIXELS).write(tmp_path / "a.svs")
        plan = ingest_module.plan_levels

        def touching(*arguments):
            os.utime(source, (1, 1))
            return plan(*arguments)

        monkeypatch.setattr(ingest_module, "plan_levels", touching)
        assert refusal(source, store) == Reason.SOURCE_CHANGED

    def test_a_source_that_is_gone_is_refused(self, tmp_path: Path, store: Path) -> None:
        assert refusal(tmp_path / "nowhere.svs", store) == Reason.SOURCE_GONE

    @pytest.mark.slow
    def test_a_killed_ingest_leaves_nothing_that_can_be_read_and_is_made_good(
        self, tmp_path: Path, store: Path
    ) -> None:
        source = write_tiff(tmp_path / "a.tif", picture(5000, 5000), tile=(256, 256), compression="zlib")
        program = (
            "import sys, pathlib; from marrow_models.pyramid.ingest import ingest_slide;"
            "ingest_slide(pathlib.Path(sys.argv[1]), (), pathlib.Path(sys.argv[2]), um_per_px=None)"
        )
        process = subprocess.Popen([sys.executable, "-c", program, str(source), str(store)])
        while process.poll() is None and not list(store.parent.glob("*.partial-*/0/c/0/0/*")):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        (partial,) = store.parent.iterdir()
        for path in (store, partial):
            with pytest.raises(StoreError, match="not a complete store"):
                Pyramid.open(path)
        ingest(source, store)
        assert list(store.parent.iterdir()) == [store]
        assert Pyramid.open(store).info.width_px == 5000


class TestPyramid:
    @pytest.fixture
    def pyramid(self, tmp_path: Path, store: Path) -> Pyramid:
        ingest(Svs(WIDE).write(tmp_path / "a.svs"), store)
        return Pyramid.open(store)

    def test_it_travels_as_its_path(self, pyramid: Pyramid) -> None:
        data = pickle.dumps(pyramid)
        assert len(data) < 500
        assert pickle.loads(data).info == pyramid.info

    def test_a_store_that_was_replaced_is_not_served_from_memory(
        self, pyramid: Pyramid, tmp_path: Path, store: Path
    ) -> None:
        before = whole(pyramid)
        other = Svs(255 - WIDE).write(tmp_path / "b.svs")
        ingest(other, store)
        after = whole(Pyramid.open(store))
        assert np.abs(after.astype(int) + before - 255).mean() < 5

    def test_the_level_for_a_scale_is_never_coarser(self, pyramid: Pyramid) -> None:
        assert [pyramid.level_for(s) for s in (0.1, 0.25, 0.9, 1.0, 30.0)] == [0, 0, 0, 1, 1]

    def test_a_scaled_region_does_not_depend_on_the_levels_a_container_has(
        self, pyramid: Pyramid, tmp_path: Path
    ) -> None:
        ingest(Svs(WIDE, factors=(2, 8)).write(tmp_path / "b.svs"), tmp_path / "other")
        rect = Rect(10, 5, 90, 60)
        np.testing.assert_array_equal(
            pyramid.scaled_region(1.1, rect), Pyramid.open(tmp_path / "other").scaled_region(1.1, rect)
        )

    def test_a_coarser_level_shows_the_same_at_low_power(self, pyramid: Pyramid) -> None:
        rect = Rect(10, 5, 90, 60)
        fine, coarse = (pyramid.scaled_region(2.0, rect, from_level=level).astype(int) for level in (0, 1))
        assert np.abs(fine - coarse).mean() < 4

    def test_overlapping_fields_agree_bit_for_bit(self, pyramid: Pyramid) -> None:
        one = pyramid.scaled_region(0.37, Rect(100, 50, 200, 150))
        two = pyramid.scaled_region(0.37, Rect(180, 90, 200, 150))
        np.testing.assert_array_equal(one[40:, 80:], two[:110, :120])


_PEAK = """
import pathlib, resource, sys
from marrow_models.pyramid.ingest import ingest_slide
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
receipt = ingest_slide(pathlib.Path(sys.argv[1]), (), pathlib.Path(sys.argv[2]), um_per_px=None, profile=sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, receipt.levels)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "side", "expected_levels"), [("copy", 20_000, 6), ("portable", 8_000, 4)])
def test_memory_does_not_grow_with_the_slide(
    tmp_path: Path, store: Path, profile: str, side: int, expected_levels: int
) -> None:
    """20,000 x 20,000 px are 1.2 GB of pixels; a few tens of MB must do, the making of levels included."""
    stream, tile = jpeg_of(picture(512, 512)), 512
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(
            (stream for _ in range((-(-side // tile)) ** 2)),
            shape=(side, side, 3),
            dtype=np.uint8,
            tile=(tile, tile),
            compression="jpeg",
            photometric="ycbcr",
            subsampling=(2, 2),
            resolution=(40_000, 40_000),
            resolutionunit="CENTIMETER",
            metadata=None,
        )
    command = [sys.executable, "-c", _PEAK, str(tmp_path / "a.tif"), str(store), profile]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    grown_kib, levels = map(int, out.stdout.split())
    assert levels == expected_levels
    assert grown_kib < 60 * 1024


def test_a_receipt_is_small_and_plain(tmp_path: Path, store: Path) -> None:
    receipt = ingest(Svs(PIXELS).write(tmp_path / "a.svs"), store)
    assert replace(receipt) == pickle.loads(pickle.dumps(receipt))
    assert len(pickle.dumps(receipt)) < 600
