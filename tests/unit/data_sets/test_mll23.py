"""MLL23: classes, scale, and the pictures that are there twice."""

import shutil

import pytest

from marrow_models.datasets import mll23
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from tests.layouts import mll23 as layout
from tests.layouts.drawing import packed


@pytest.fixture
def data(tmp_path):
    return layout.write(tmp_path / "MLL23")


def read(path):
    return mll23.read(path, ReadOptions())


def test_the_classes_are_the_published_ones_and_their_counts_add_up():
    assert set(layout.COUNTS) == set(mll23.load_taxonomy("blood18").labels)
    assert sum(layout.COUNTS.values()) == 41621


def test_each_picture_is_one_cell_of_its_folders_class(data):
    for picture in read(data).pictures:
        assert picture.is_single_cell
        assert picture.cells[0].label == picture.cells[0].raw_label == picture.image.path.parent.name
        assert (picture.width_px, picture.height_px) == (36, 36)
        assert picture.patient is None
        assert picture.split is None


def test_a_pixel_is_25_um_by_288(data):
    (scale,) = {picture.um_per_px for picture in read(data).pictures}
    assert scale == pytest.approx(0.0868, abs=5e-5)
    assert scale == pytest.approx(1 / 11.52)


def test_the_option_does_not_overrule_the_stated_pixel_size(data):
    assert mll23.read(data, ReadOptions(um_per_px=0.2)).pictures[0].um_per_px == pytest.approx(25 / 288)


def test_both_copies_of_a_picture_under_two_classes_are_kept_out(data):
    names = {"/".join(p.image.path.parts[-2:]) for p in read(data).pictures}
    assert not names & set(layout.CONFLICTING)
    assert {"myeloblast/myeloblast_0000.tif", "promyelocyte/promyelocyte_0001.tif"} <= names


def test_both_copies_of_a_picture_under_one_class_stay(data):
    assert set(layout.AGREEING) <= {"/".join(p.image.path.parts[-2:]) for p in read(data).pictures}


def test_what_was_found_is_noted_with_names(data):
    agreeing, conflicting = read(data).notes
    assert "same class (lymphocyte_0000.tif=lymphocyte_9000.tif)" in agreeing
    assert "different classes (myeloblast_0001.tif=promyelocyte_9001.tif): the 2 files are kept out" in conflicting


def test_without_duplicates_there_is_nothing_to_note(data):
    (data / layout.AGREEING[1]).unlink()
    (data / layout.CONFLICTING[1]).unlink()
    found = read(data)
    assert found.notes == ()
    assert len(found.pictures) == 18 * layout.PER_CLASS


def test_files_that_a_mac_adds_are_no_pictures(data):
    before = len(read(data).pictures)
    shutil.copyfile(data / layout.AGREEING[0], data / "basophil" / "._basophil_0000.tif")
    (data / "basophil" / ".DS_Store").write_bytes(b"x")
    assert len(read(data).pictures) == before


def test_the_folder_above_will_do(data):
    assert len(read(data.parent).pictures) == len(read(data).pictures)


def test_a_tar_archive_is_read_in_place(data, tmp_path):
    found = read(packed(data, tmp_path / "mll23.tar"))
    assert [p.image.name for p in found.pictures] == [p.image.name for p in read(data).pictures]
    assert found.notes == read(data).notes


@pytest.mark.parametrize("label", ["basophil", "lymphocyte_reactive"])
def test_a_missing_class_is_named(data, label):
    shutil.rmtree(data / label)
    with pytest.raises(UserError, match=f"{label} missing"):
        read(data)


def test_an_empty_class_is_named(data):
    for file in (data / "hairy_cell").iterdir():
        file.unlink()
    (data / "hairy_cell" / "read.me").write_text("unpack the zip here")
    with pytest.raises(UserError, match="files in hairy_cell"):
        read(data)


def test_a_damaged_picture_is_named(data):
    (data / "basophil" / "basophil_0000.tif").write_bytes(b"II*\0 and no more")
    with pytest.raises(UserError, match=r"basophil_0000.tif"):
        read(data)
