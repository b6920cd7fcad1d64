"""COCO files as different tools write them."""

from __future__ import annotations

import json

import pytest

from marrow_models.datasets import coco
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from tests.layouts import coco as layout
from tests.layouts.drawing import packed, write_picture, write_text

OPTIONS = layout.OPTIONS


def changed(folder, **lists):
    """A data set of one file, with some of its lists replaced."""
    for name in ("a.jpg", "b.jpg"):
        write_picture(folder / "images" / name)
    write_text(folder / "all.json", json.dumps(layout.content() | lists))
    return folder


def test_boxes_become_edges_and_pictures_are_in_the_order_of_their_names(tmp_path):
    found = coco.read(layout.write(tmp_path), OPTIONS)
    assert [(p.image.name, p.split, len(p.cells)) for p in found.pictures] == [
        ("a.jpg", "train", 3), ("b.jpg", "train", 0), ("a.jpg", "val", 3), ("b.jpg", "val", 0),
    ]  # fmt: skip
    assert found.pictures[0].cells[0].box_px == (4, 5, 24, 26.5)
    assert found.pictures[0].cells[0].label == "wbc"
    assert found.pictures[0].image.path.parent.name == "train"
    assert found.pictures[2].image.path.parent.name == "val"


def test_defects_are_noted(tmp_path):
    assert coco.read(layout.write(tmp_path), OPTIONS).notes == (
        "boxes that reach over the edge of their picture, clipped: 2 (first: annotations/instances_train.json, a.jpg)",
        "boxes of zero size, dropped: 2 (first: annotations/instances_train.json, a.jpg)",
    )


def test_a_crowd_is_ignored(tmp_path):
    cells = coco.read(layout.write(tmp_path), OPTIONS).pictures[0].cells
    assert [cell.ignored for cell in cells] == [False, False, True]


def test_one_file_may_be_given(tmp_path):
    layout.write(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        write_picture(tmp_path / name)
    write_text(tmp_path / "valid.json", json.dumps(layout.content()))
    found = coco.read(tmp_path / "valid.json", OPTIONS)
    assert [p.split for p in found.pictures] == ["val", "val"]


def test_files_beside_their_pictures_are_found(tmp_path):
    for split in ("train", "valid"):
        write_picture(tmp_path / split / "a.jpg", seed=len(split))
        write_picture(tmp_path / split / "b.jpg", seed=len(split))
        write_text(tmp_path / split / "_annotations.coco.json", json.dumps(layout.content()))
    found = coco.read(tmp_path, OPTIONS)
    assert [(p.split, p.image.path.parent.name) for p in found.pictures] == [
        ("train", "train"), ("train", "train"), ("val", "valid"), ("val", "valid"),
    ]  # fmt: skip


def test_an_archive_is_read_like_a_folder(tmp_path):
    folder = layout.write(tmp_path / "in")
    packed_set = coco.read(packed(folder, tmp_path / "a.tar"), OPTIONS)
    assert [p.cells for p in packed_set.pictures] == [p.cells for p in coco.read(folder, OPTIONS).pictures]


@pytest.mark.parametrize(
    "file_name", ["images/a.jpg", "/home/someone/export/images/a.jpg", "..\\images\\a.jpg", "./a.jpg"]
)
def test_a_picture_is_found_by_the_end_of_its_path(tmp_path, file_name):
    write_picture(tmp_path / "old" / "b.jpg")
    images = [{"id": 1, "file_name": file_name, "width": 64, "height": 48}]
    found = coco.read(changed(tmp_path, images=images), OPTIONS)
    assert found.pictures[0].image.path == tmp_path / "images" / "a.jpg"


def test_a_picture_that_may_be_one_of_two_is_refused(tmp_path):
    write_picture(tmp_path / "old" / "a.jpg")
    with pytest.raises(UserError, match=r"all\.json: a\.jpg may be images/a\.jpg or old/a\.jpg"):
        coco.read(changed(tmp_path), OPTIONS)


def test_a_picture_that_is_not_there_is_named(tmp_path):
    changed(tmp_path)
    (tmp_path / "images" / "b.jpg").unlink()
    with pytest.raises(UserError, match=r"all\.json: its picture b\.jpg is not below"):
        coco.read(tmp_path, OPTIONS)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}]}, "says 640 x 480 px"),
        ({"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]}, "two images have the id 1"),
        ({"images": [{"id": "1", "file_name": "a.jpg"}]}, "id must be a whole number"),
        ({"images": [{"id": 1}]}, "file_name must be a text"),
        ({"images": {}}, "images must be a list"),
        ({"categories": [7]}, "categories must be a list of objects"),
        ({"categories": [{"id": 5, "name": "WBC"}]}, "category_id 2 is not among the categories"),
        ({"categories": [{"id": 2, "name": "RBC"}, {"id": 5, "name": "Blast"}]}, "raw label 'Blast'"),
        ({"annotations": [{"image_id": 9, "category_id": 2, "bbox": [1, 1, 5, 5]}]}, "image_id 9, which is not among"),
        ({"annotations": [{"image_id": 1, "category_id": 2, "bbox": [1, 1, 5]}]}, "bbox must be four numbers"),
        ({"annotations": [{"image_id": 1, "category_id": 2}]}, "bbox must be four numbers"),
        ({"annotations": [{"image_id": 1, "category_id": 2, "bbox": [1, 1, -5, 5]}]}, "ends before it begins"),
        ({"annotations": [{"image_id": 1, "category_id": 2, "bbox": [70, 1, 5, 5]}]}, "lies outside of its picture"),
    ],
)
def test_a_file_that_cannot_be_is_refused_by_name(tmp_path, lists, message):
    with pytest.raises(UserError, match=message) as caught:
        coco.read(changed(tmp_path, **lists), OPTIONS)
    assert "all.json" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"images": 1e999, '])
def test_what_is_not_json_is_refused_by_name(tmp_path, text):
    changed(tmp_path)
    write_text(tmp_path / "notes.json", text)
    with pytest.raises(UserError, match=r"notes\.json: not valid JSON"):
        coco.read(tmp_path, OPTIONS)


def test_a_category_that_no_box_uses_needs_no_class(tmp_path):
    assert coco.read(layout.write(tmp_path), OPTIONS).taxonomy.name == "blood3"  # it has the category "cells"


def test_without_a_taxonomy_the_error_asks_for_one(tmp_path):
    with pytest.raises(UserError, match="Give taxonomy"):
        coco.read(layout.write(tmp_path), ReadOptions())
