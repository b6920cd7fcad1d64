"""Pixels, sizes and digests of pictures, wherever they are stored."""

from __future__ import annotations

import hashlib
import os
import tarfile
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from marrow_models.datasets.images import archive_index, content_digest, read_bytes, read_image, size_of
from marrow_models.datasets.records import ImageRef
from marrow_models.errors import UserError
from marrow_models.records import Rect
from tests.layouts.drawing import drawing, packed, write_picture
from tests.unit.slide_files.sources import Svs, picture

PIXELS = drawing(40, 30, seed=5)


def tiff(path, pixels=PIXELS, **how):
    tifffile.imwrite(path, pixels, **{"photometric": "rgb", **how})
    return ImageRef(path)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "TIFF"])
def test_a_lossless_picture_comes_back_as_it_was(tmp_path, ending):
    ref = ImageRef(tmp_path / f"a.{ending}")
    Image.fromarray(PIXELS).save(ref.path, format="TIFF" if ending.lower().startswith("tif") else None)
    assert np.array_equal(read_image(ref), PIXELS)
    assert size_of(ref) == (40, 30)


@pytest.mark.parametrize("ending", ["jpg", "JPEG"])
def test_a_jpeg_picture_comes_back_nearly_as_it_was(tmp_path, ending):
    ref = ImageRef(write_picture(tmp_path / f"a.{ending}", 64, 48, seed=3))
    assert np.abs(read_image(ref).astype(int) - drawing(64, 48, seed=3)).mean() < 3
    assert size_of(ref) == (64, 48)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
def test_the_usual_compressions_of_tiff_are_undone(tmp_path, compression):
    assert np.array_equal(read_image(tiff(tmp_path / "a.tif", compression=compression, rowsperstrip=7)), PIXELS)


def test_jpeg_within_tiff_comes_back_as_rgb(tmp_path):
    found = read_image(tiff(tmp_path / "a.tif", compression="jpeg", rowsperstrip=16))
    assert np.abs(found.astype(int) - PIXELS).mean() < 3


def test_planes_of_a_tiff_are_put_together(tmp_path):
    planes = np.ascontiguousarray(np.moveaxis(PIXELS, -1, 0))
    assert np.array_equal(read_image(tiff(tmp_path / "a.tif", planes, planarconfig="separate")), PIXELS)


def test_alpha_is_dropped(tmp_path):
    alpha = np.full((30, 40, 1), 128, np.uint8)
    ref = tiff(tmp_path / "a.tif", np.dstack([PIXELS, alpha]), extrasamples=["unassalpha"])
    Image.fromarray(np.dstack([PIXELS, alpha])).save(tmp_path / "a.png")
    assert np.array_equal(read_image(ref), PIXELS)
    assert np.array_equal(read_image(ImageRef(tmp_path / "a.png")), PIXELS)


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = PIXELS[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    for ref in (ImageRef(tmp_path / "a.png"), tiff(tmp_path / "a.tif", grey, photometric="minisblack")):
        assert np.array_equal(read_image(ref), np.repeat(grey[..., None], 3, axis=2))


def test_grey_in_which_white_is_zero_is_turned_over(tmp_path):
    found = read_image(tiff(tmp_path / "a.tif", PIXELS[..., 0], photometric="miniswhite"))
    assert np.array_equal(found[..., 0], 255 - PIXELS[..., 0])


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_a_palette_is_resolved(tmp_path, ending):
    few = Image.fromarray(PIXELS).quantize(8)
    few.save(tmp_path / f"a.{ending}")
    assert np.array_equal(read_image(ImageRef(tmp_path / f"a.{ending}")), np.asarray(few.convert("RGB")))


def test_a_note_to_turn_the_picture_is_not_followed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif)
    assert size_of(ImageRef(tmp_path / "a.jpg")) == (40, 30)
    assert read_image(ImageRef(tmp_path / "a.jpg")).shape == (30, 40, 3)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("kept", [0, 1, 9, 60, 0.5, 0.8])
def test_a_picture_that_is_cut_off_is_refused_by_name(tmp_path, ending, kept):
    path = write_picture(tmp_path / f"patient.{ending}", 40, 30)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(UserError, match=f"patient.{ending}: the picture cannot be read"):
        read_image(ImageRef(path))


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif"])
def test_what_is_no_picture_has_no_size(tmp_path, ending):
    path = tmp_path / f"notes.{ending}"
    path.write_text("These are notes, not a picture. " * 20)
    with pytest.raises(UserError, match=f"notes.{ending}: the picture cannot be read"):
        size_of(ImageRef(path))


@pytest.mark.parametrize("what", [read_image, size_of, content_digest])
def test_a_picture_that_is_not_there_is_named(tmp_path, what):
    with pytest.raises(UserError, match=r"gone\.jpg: the picture is not there"):
        what(ImageRef(tmp_path / "gone.jpg"))


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_more_than_eight_bits_are_refused(tmp_path, kind):
    with pytest.raises(UserError, match="8 bits"):
        read_image(tiff(tmp_path / "a.tif", PIXELS.astype(kind)))
    Image.fromarray(PIXELS[..., 0].astype(np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="8 bits"):
        read_image(ImageRef(tmp_path / "a.png"))


def test_other_colours_than_rgb_are_refused_in_tiff(tmp_path):
    inks = np.zeros((30, 40, 4), np.uint8)
    with pytest.raises(UserError, match="neither grey, palette nor RGB"):
        read_image(tiff(tmp_path / "a.tif", inks, photometric="separated"))


def test_a_header_that_claims_a_giant_picture_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "giant.bmp"
    Image.fromarray(PIXELS).save(path)
    data = bytearray(path.read_bytes())
    data[18:26] = (9000).to_bytes(4, "little") + (9500).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="claims 9000 x 9500 px"):
        size_of(ImageRef(path))
    with pytest.raises(UserError, match="claims 9000 x 9500 px"):
        read_image(ImageRef(path))


def test_a_member_of_an_archive_is_read_like_a_file(tmp_path):
    path = write_picture(tmp_path / "in" / "deep" / "a.jpg")
    member = ImageRef(packed(tmp_path / "in", tmp_path / "a.tar"), "deep/a.jpg")
    assert np.array_equal(read_image(member), read_image(ImageRef(path)))
    assert size_of(member) == (64, 48)
    assert read_bytes(member) == path.read_bytes()
    assert content_digest(member) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert member.name == "a.jpg"


def test_a_member_that_is_not_there_is_named_with_its_archive(tmp_path):
    write_picture(tmp_path / "in" / "a.jpg")
    archive = packed(tmp_path / "in", tmp_path / "all.tar")
    with pytest.raises(UserError, match=r"all\.tar: b\.jpg: the picture is not there"):
        read_image(ImageRef(archive, "b.jpg"))


def test_an_archive_is_gone_through_once(tmp_path, monkeypatch):
    write_picture(tmp_path / "in" / "a.jpg")
    archive = packed(tmp_path / "in", tmp_path / "a.tar")
    first = archive_index(archive)
    monkeypatch.setattr("tarfile.open", None)
    assert archive_index(archive) is first


def test_an_archive_that_changed_is_gone_through_again(tmp_path):
    write_picture(tmp_path / "in" / "a.jpg")
    archive = packed(tmp_path / "in", tmp_path / "a.tar")
    assert list(archive_index(archive)) == ["a.jpg"]
    write_picture(tmp_path / "in" / "b.jpg")
    packed(tmp_path / "in", archive)
    os.utime(archive, ns=(1, 1))
    assert list(archive_index(archive)) == ["a.jpg", "b.jpg"]


def test_a_compressed_archive_is_refused_because_it_cannot_be_read_in_place(tmp_path):
    write_picture(tmp_path / "in" / "a.jpg")
    with pytest.raises(UserError, match=r"a\.tar: not an uncompressed tar"):
        archive_index(packed(tmp_path / "in", tmp_path / "a.tar", compressed=True))


def test_an_archive_that_is_cut_off_is_refused(tmp_path):
    write_picture(tmp_path / "in" / "a.bmp")
    archive = packed(tmp_path / "in", tmp_path / "a.tar")
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"a\.tar: .*cut off"):
        archive_index(archive)


def test_links_in_an_archive_are_no_members(tmp_path):
    write_picture(tmp_path / "in" / "a.jpg")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("etc.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
        tar.add(tmp_path / "in" / "a.jpg", "./a.jpg")
    assert list(archive_index(tmp_path / "a.tar")) == ["a.jpg"]


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    pixels = picture(512, 512, seed=2)
    path = tmp_path_factory.mktemp("slide") / "film.svs"
    Svs(pixels).write(path)
    return path, pixels


def test_a_part_of_a_slide_is_cut_out_of_its_largest_level(slide):
    path, pixels = slide
    ref = ImageRef(path, rect_px=Rect(100, 60, 80, 50))
    found = read_image(ref)
    assert size_of(ref) == (80, 50)
    assert found.shape == (50, 80, 3)
    assert np.abs(found.astype(int) - pixels[60:110, 100:180]).mean() < 6


def test_a_part_that_reaches_over_the_edge_of_the_slide_is_white_there(slide):
    found = read_image(ImageRef(slide[0], rect_px=Rect(500, 500, 30, 30)))
    assert (found[12:] == 255).all()
    assert (found[:, 12:] == 255).all()


def test_two_parts_of_one_slide_have_two_digests(slide):
    first, second = (content_digest(ImageRef(slide[0], rect_px=Rect(x, 0, 40, 40))) for x in (100, 101))
    assert first != second
    assert first == content_digest(ImageRef(slide[0], rect_px=Rect(100, 0, 40, 40)))


def test_a_part_of_what_is_no_slide_is_refused_by_name(tmp_path):
    path = write_picture(tmp_path / "film.jpg")
    with pytest.raises(UserError, match=r"film\.jpg \(part at 3, 4\): the picture cannot be read \(WRONG_TYPE"):
        read_image(ImageRef(path, rect_px=Rect(3, 4, 5, 6)))
    with pytest.raises(UserError, match=r"gone\.svs \(part at 0, 0\): the picture is not there"):
        read_image(ImageRef(tmp_path / "gone.svs", rect_px=Rect(0, 0, 5, 6)))


def test_a_part_larger_than_any_picture_is_refused(slide):
    with pytest.raises(UserError, match="claims 100000 x 100000 px"):
        read_image(ImageRef(slide[0], rect_px=Rect(0, 0, 100_000, 100_000)))


def test_the_size_of_a_picture_costs_a_fraction_of_its_pixels(tmp_path):
    refs = [ImageRef(write_picture(tmp_path / f"{n}.jpg", 400, 400, seed=1)) for n in range(50)]
    begin = time.process_time()
    for ref in refs:
        read_image(ref)
    pixels_s = time.process_time() - begin
    begin = time.process_time()
    for ref in refs:
        size_of(ref)
    assert time.process_time() - begin < pixels_s / 2
