"""OI-PBC: boxes to measure with, and the same pictures without them."""

from __future__ import annotations

import dataclasses

import pytest

from marrow_models.datasets import oi_pbc
from marrow_models.datasets.images import read_image
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy
from tests.layouts import oi_pbc as layout
from tests.layouts.drawing import write_text


@pytest.fixture
def data_set(tmp_path):
    return oi_pbc.read(layout.write(tmp_path), ReadOptions())


def of(data_set, name):
    return next(picture for picture in data_set.pictures if picture.image.name == name)


def test_archives_and_what_they_hold_give_the_same_records(data_set, tmp_path):
    unpacked = oi_pbc.read(layout.write_unpacked(tmp_path / "unpacked"), ReadOptions())
    by_name = {p.image.name: p for p in unpacked.pictures}
    for picture in data_set.pictures:
        other = by_name.pop(picture.image.name)
        assert dataclasses.replace(other, image=picture.image) == picture
        assert (read_image(other.image) == read_image(picture.image)).all()
    assert by_name == {}


def test_pictures_come_in_the_order_of_their_splits(data_set):
    assert [p.split for p in data_set.pictures] == ["train", "train", "val", "test", "test", "test"]
    assert {p.um_per_px for p in data_set.pictures} == {0.1}


def test_the_attributes_are_those_of_the_cell_at_the_centre_and_never_of_a_red_cell(data_set):
    described = [cell for cell in of(data_set, "BA_1.jpg").cells if cell.attributes]
    assert [cell.raw_label for cell in described] == ["BA"]
    assert len(described[0].attributes) == 11


def test_a_cell_that_wbcatt_does_not_describe_has_no_attributes(data_set):
    assert not any(cell.attributes for cell in of(data_set, "PLATELET_2.jpg").cells)


def test_defects_are_noted_and_kept_as_published(data_set):
    assert of(data_set, "BA_6.jpg").cells[1].label == "neutrophil_segmented"
    assert data_set.notes == (
        "boxes of zero size, dropped: 1 (first: test.tar: labels/test/EO_4.txt)",
        "central cells marked with another class than that of the file name, kept as marked: 1 (first: BA_6.jpg)",
        "pictures in which only red cells are marked, attributes left out: 1 (first: LY_5.jpg)",
    )


def test_central_cells_use_the_file_name_and_no_box(data_set):
    single = oi_pbc.central_cells(data_set)
    assert single.taxonomy.name == "pbc11"
    assert all(picture.is_single_cell for picture in single.pictures)
    assert {p.image.name: p.cells[0].label for p in single.pictures} == {
        "BA_1.jpg": "basophil", "PLATELET_2.jpg": "platelet", "SNE_3.jpg": "neutrophil_segmented",
        "EO_4.jpg": "eosinophil", "LY_5.jpg": "lymphocyte", "BA_6.jpg": "basophil",
    }  # fmt: skip
    assert "boxes" not in single.licence


def test_central_cells_are_the_same_whatever_the_boxes_say(data_set):
    without = dataclasses.replace(data_set, pictures=tuple(dataclasses.replace(p, cells=()) for p in data_set.pictures))
    assert oi_pbc.central_cells(without) == oi_pbc.central_cells(data_set)
    assert len(of(oi_pbc.central_cells(without), "LY_5.jpg").cells[0].attributes) == 11


def test_one_split_alone_can_be_read(tmp_path):
    layout.write(tmp_path)
    (tmp_path / "train.tar").unlink()
    (tmp_path / "val.tar").unlink()
    assert {p.split for p in oi_pbc.read(tmp_path, ReadOptions()).pictures} == {"test"}


def test_without_the_table_there_are_boxes_but_no_attributes(tmp_path):
    layout.write(tmp_path)
    (tmp_path / "cells.csv").unlink()
    data_set = oi_pbc.read(tmp_path, ReadOptions())
    assert not any(cell.attributes for p in data_set.pictures for cell in p.cells)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("BA_1.jpg,BA,big", "BA_1.jpg,BA,huge", "line 2: cell_size is 'huge'"),
        ("BA_1.jpg,BA,", "BA_1.jpg,EO,", r"line 2: cell_class is 'EO', but the file is called BA_1\.jpg"),
        ("SNE_3.jpg,SNE", "BA_1.jpg,BA", r"line 4: BA_1\.jpg has an earlier row"),
        ("cell_size", "size", "column cell_size missing"),
    ],
)
def test_a_table_that_cannot_be_is_refused(tmp_path, old, new, message):
    layout.write(tmp_path)
    text = (tmp_path / "cells.csv").read_text()
    assert old in text
    write_text(tmp_path / "cells.csv", text.replace(old, new))
    with pytest.raises(UserError, match=message):
        oi_pbc.read(tmp_path, ReadOptions())


def test_without_pictures_the_error_names_the_archives(tmp_path):
    write_text(tmp_path / "classes.txt", "BA\n")
    with pytest.raises(UserError, match=r"train\.tar, val\.tar or test\.tar .*; found classes\.txt"):
        oi_pbc.read(tmp_path, ReadOptions())


def test_the_index_of_a_class_is_its_place_in_the_taxonomy():
    twelve, eleven = load_taxonomy("pbc12"), load_taxonomy("pbc11")
    assert [twelve.resolve(raw) for raw in layout.CLASSES] == list(twelve.labels)
    assert set(twelve.labels) - set(eleven.labels) == {"rbc"}
    for label in eleven.labels:
        ours, theirs = twelve.get(label), eleven.get(label)
        assert dataclasses.replace(ours, aliases=theirs.aliases) == theirs
