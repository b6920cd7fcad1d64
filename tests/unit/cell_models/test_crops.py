import os

import numpy as np
import pytest
from PIL import Image

from marrow_models.errors import UserError
from marrow_models.training import crops as module
from marrow_models.training.crops import MISSING, CropShape, centre_crops, crops_of_pictures
from tests.unit.cell_models.marked import box_um, cell, field_at, saved

SHAPE = CropShape(um_per_px=0.2, crop_px=48, margin_px=8)


def numbered(height=60, width=80):
    """Red is the row and green the column."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.mgrid[:height, :width]
    return pixels


@pytest.fixture
def opened(monkeypatch):
    """Names of the pictures whose pixels were read."""
    names = []
    original = module.read_image
    monkeypatch.setattr(module, "read_image", lambda ref: names.append(ref.name) or original(ref))
    return names


@pytest.mark.parametrize("um_per_px", [0.1, 0.17, 0.2, 0.25])
def test_the_same_cell_from_pixels_of_another_size_gives_the_same_crop(tmp_path, um_per_px):
    def crop(scale):
        picture = saved(
            tmp_path / f"{scale}.png", field_at(scale), [cell(box=box_um(27, 24, 10, scale))], um_per_px=scale
        )
        return crops_of_pictures([picture], ("a",), SHAPE, tmp_path / f"kept-{scale}").images[0].astype(int)

    fine, other = crop(0.05), crop(um_per_px)
    assert fine.shape == (64, 64, 3)
    difference = abs(fine - other)
    assert difference.mean() < 3
    # Read by pixels instead, the same cell would be another one.
    by_pixels = saved(tmp_path / "wrong.png", field_at(um_per_px), [cell(box=box_um(27, 24, 10, um_per_px))])
    if um_per_px < 0.2:
        wrong = crops_of_pictures([by_pixels], ("a",), SHAPE, tmp_path / "kept-wrong").images[0].astype(int)
        assert abs(fine - wrong).mean() > 4 * difference.mean()


@pytest.mark.parametrize(("scanner", "alike"), [(0.05, 0.1), (0.1, 0.1), (0.25, 0.25)])
def test_a_coarser_scanner_is_imitated_and_a_finer_one_is_not(tmp_path, scanner, alike):
    def crop(scale, scanner_um_per_px, folder):
        shape = CropShape(0.1, 96, 0, scanner_um_per_px)
        picture = saved(
            tmp_path / f"{scale}.png", field_at(scale), [cell(box=box_um(27, 24, 10, scale))], um_per_px=scale
        )
        return crops_of_pictures([picture], ("a",), shape, tmp_path / folder).images[0].astype(int)

    imitated, real = crop(0.1, scanner, "imitated"), crop(alike, None, "real")
    assert abs(imitated - real).mean() < (1 if scanner > 0.1 else 1e-9)
    if scanner > 0.1:
        assert abs(imitated - crop(0.1, None, "sharp")).mean() > 2 * abs(imitated - real).mean()


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"box": (30.0, 10.0, 50.0, 40.0)}, (25, 40)),
        ({"point": (12.0, 33.0)}, (33, 12)),
        ({}, (30, 40)),
        ({"box": (0.0, 0.0, 20.0, 20.0), "point": (50.0, 50.0)}, (10, 10)),
    ],
)
def test_a_crop_is_centred_on_the_box_the_point_or_the_middle_of_the_picture(tmp_path, place, expected):
    picture = saved(tmp_path / "n.png", numbered(), [cell(**place)])
    crops = crops_of_pictures([picture], ("a",), CropShape(0.25, 16, 4), tmp_path / "kept")
    assert crops.images.shape == (1, 24, 24, 3)
    assert tuple(crops.images[0, 12, 12, :2]) == expected
    assert tuple(centre_crops(crops)[0, 8, 8, :2]) == expected


def test_beyond_the_picture_there_is_glass(tmp_path):
    picture = saved(tmp_path / "n.png", numbered(), [cell(point=(2.0, 30.0))])
    crops = crops_of_pictures([picture], ("a",), CropShape(0.25, 16), tmp_path / "kept")
    assert (crops.images[0, :, :6] == 255).all()
    assert (crops.images[0, :, 6:, 2] == 0).all()


def test_a_picture_of_unknown_pixel_size_is_refused_by_name_and_says_what_to_do(tmp_path):
    picture = saved(tmp_path / "smear 7.png", numbered(), [cell()], um_per_px=None)
    with pytest.raises(UserError, match=r"smear 7\.png.*um_per_px.*\[data\.NAME\]"):
        crops_of_pictures([picture], ("a",), SHAPE, tmp_path / "kept")


def test_without_a_cell_to_learn_from_it_is_refused(tmp_path):
    picture = saved(tmp_path / "n.png", numbered(), [cell("b"), cell("a", ignored=True)])
    with pytest.raises(UserError, match="No cell"):
        crops_of_pictures([picture], ("a",), SHAPE, tmp_path / "kept")


def test_cells_of_other_labels_and_those_to_be_ignored_are_left_out(tmp_path):
    cells = [cell("b"), cell("c"), cell("a", ignored=True), cell("a"), cell(None)]
    picture = saved(tmp_path / "n.png", numbered(), cells, patient="p1")
    crops = crops_of_pictures([picture], ("a", "b"), SHAPE, tmp_path / "kept")
    assert crops.classes.tolist() == [1, 0]
    assert crops.labels == ("a", "b")
    assert crops.patients == ("p1", "p1")
    assert crops.votes is None
    assert len(crops) == 2


def test_an_attribute_that_is_not_known_is_missing_and_a_cell_may_have_attributes_only(tmp_path):
    schema = {"nucleus": ("round", "lobed"), "vacuoles": ("no", "yes")}
    cells = [
        cell("a", attributes={"nucleus": "lobed", "vacuoles": "no"}),
        cell("a", attributes={"vacuoles": "yes"}),
        cell(None, attributes={"nucleus": "round"}),
        cell("a"),
        cell(None, attributes={"size": "big"}),
        cell("a", attributes={"nucleus": "square"}),
    ]
    picture = saved(tmp_path / "n.png", numbered(), cells)
    crops = crops_of_pictures([picture], ("a",), SHAPE, tmp_path / "kept", attribute_values=schema)
    assert crops.classes.tolist() == [0, 0, MISSING, 0, 0]
    assert crops.attributes["nucleus"].tolist() == [1, MISSING, 0, MISSING, MISSING]
    assert crops.attributes["vacuoles"].tolist() == [0, 1, MISSING, MISSING, MISSING]
    assert crops.attribute_values == schema


def test_votes_become_shares_of_the_labels_that_are_learned(tmp_path):
    cells = [
        cell("a", votes=("a", "a", "b")),
        cell("b"),
        cell("a", votes=("a", "c", "c")),
        cell("a", votes=("c",)),
    ]
    picture = saved(tmp_path / "n.png", numbered(), cells)
    crops = crops_of_pictures([picture], ("a", "b"), SHAPE, tmp_path / "kept")
    assert crops.votes == pytest.approx(np.asarray([[2 / 3, 1 / 3], [0, 1], [1, 0], [0, 0]]))
    assert crops.classes.tolist() == [0, 1, 0, 0]


def test_pixels_are_kept_mapped_and_not_read_again(tmp_path, opened):
    picture = saved(tmp_path / "n.png", numbered(), [cell(), cell(point=(20.0, 20.0))])
    first = crops_of_pictures([picture], ("a",), SHAPE, tmp_path / "kept")
    assert opened == ["n.png"]
    again = crops_of_pictures([picture], ("a",), SHAPE, tmp_path / "kept")
    assert opened == ["n.png"]
    assert np.array_equal(first.images, again.images)
    assert isinstance(again.images.base, np.memmap) or isinstance(again.images, np.memmap)
    assert not again.images.flags.writeable


def test_a_picture_with_several_cells_is_read_once(tmp_path, opened):
    pictures = [
        saved(tmp_path / f"{n}.png", numbered(), [cell(point=(20.0 + i, 20.0)) for i in range(5)]) for n in "xy"
    ]
    assert len(crops_of_pictures(pictures, ("a",), SHAPE, tmp_path / "kept")) == 10
    assert opened == ["x.png", "y.png"]


@pytest.mark.parametrize(
    ("labels", "shape"),
    [
        (("b",), SHAPE),
        (("a", "b"), CropShape(0.25, 48, 8)),
        (("a", "b"), CropShape(0.2, 32, 16)),
        (("a", "b"), CropShape(0.2, 32)),
    ],
)
def test_other_cells_scales_or_sizes_are_cut_anew(tmp_path, opened, labels, shape):
    picture = saved(tmp_path / "n.png", numbered(), [cell("a"), cell("b", point=(20.0, 20.0))])
    crops_of_pictures([picture], ("a", "b"), CropShape(0.25, 64), tmp_path / "kept")
    changed = crops_of_pictures([picture], labels, shape, tmp_path / "kept")
    assert len(opened) == 2
    assert np.array_equal(changed.images, crops_of_pictures([picture], labels, shape, tmp_path / "fresh").images)


def test_a_picture_with_a_class_of_its_own_is_one_example(tmp_path):
    pictures = [
        saved(tmp_path / "whole.png", numbered(), label="b"),
        saved(tmp_path / "cells.png", numbered(), [cell("a")], label="b"),
        saved(tmp_path / "empty.png", numbered()),
    ]
    crops = crops_of_pictures(pictures, ("a", "b"), CropShape(0.25, 16), tmp_path / "kept")
    assert crops.classes.tolist() == [1, 0]
    assert tuple(crops.images[0, 8, 8, :2]) == (30, 40)


def test_a_picture_that_was_replaced_is_cut_anew(tmp_path, opened):
    picture = saved(tmp_path / "n.png", numbered(), [cell()])
    before = crops_of_pictures([picture], ("a",), SHAPE, tmp_path / "kept")
    kept = before.images.copy()
    Image.fromarray(255 - numbered()).save(tmp_path / "n.png")
    os.utime(tmp_path / "n.png", ns=(1, 1))
    after = crops_of_pictures([picture], ("a",), SHAPE, tmp_path / "kept")
    assert len(opened) == 2
    assert not np.array_equal(after.images, kept)
    # Who reads the old crops, a training say, goes on with them.
    assert np.array_equal(before.images, kept)


def test_crops_that_were_never_finished_are_cut_anew(tmp_path, monkeypatch):
    pictures = [saved(tmp_path / f"{n}.png", numbered(), [cell()]) for n in "xyz"]
    original = module.read_image

    def breaks(ref):
        if ref.name == "y.png":
            raise KeyboardInterrupt
        return original(ref)

    monkeypatch.setattr(module, "read_image", breaks)
    with pytest.raises(KeyboardInterrupt):
        crops_of_pictures(pictures, ("a",), SHAPE, tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []
    monkeypatch.setattr(module, "read_image", original)
    assert (crops_of_pictures(pictures, ("a",), SHAPE, tmp_path / "kept").images[2, 32, 32, 2] == 0).all()


def test_taking_crops_takes_all_that_is_known_of_them(tmp_path):
    cells = [
        cell("a", votes=("a", "b"), attributes={"k": "x"}),
        cell("b", point=(20.0, 20.0)),
        cell("a", point=(9.0, 9.0)),
    ]
    picture = saved(tmp_path / "n.png", numbered(), cells, patient="p")
    crops = crops_of_pictures([picture], ("a", "b"), SHAPE, tmp_path / "kept", attribute_values={"k": ("y", "x")})
    taken = crops.take(np.asarray([2, 0]))
    assert np.array_equal(taken.images, crops.images[[2, 0]])
    assert taken.classes.tolist() == [0, 0]
    assert taken.votes.tolist() == [[1, 0], [0.5, 0.5]]
    assert taken.attributes["k"].tolist() == [MISSING, 1]
    assert taken.patients == ("p", "p")
