"""Tables of cells in CSV."""

from __future__ import annotations

import pytest

from marrow_models.datasets import table
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.tree import open_tree
from marrow_models.errors import UserError
from tests.layouts import csv as layout
from tests.layouts.drawing import write_picture, write_text

OPTIONS = layout.OPTIONS


def reading(folder, text, options=OPTIONS):
    write_picture(folder / "a.png")
    return table.read(write_text(folder / "cells.csv", text), options)


def test_boxes_points_and_whole_pictures_are_told_apart(tmp_path):
    boxed, pointed, whole, marked_as_a_whole = table.read(layout.write(tmp_path), OPTIONS).pictures
    assert boxed.cells[0].box_px == (4, 5, 24.5, 26)
    assert pointed.cells[0].point_px == (12.5, 40)
    assert whole.is_single_cell
    assert whole.cells[0].label == "not_identifiable"
    assert marked_as_a_whole.cells == ()
    assert marked_as_a_whole.label == "blast"


def test_a_picture_keeps_its_patient_split_fold_domain_and_scale(tmp_path):
    first, second, third, _ = table.read(layout.write(tmp_path), OPTIONS).pictures
    assert (first.patient, first.split, first.fold, first.domain, first.um_per_px) == ("P1", "train", 0, "40x", 0.1)
    assert (second.domain, second.um_per_px) == ("", 0.2)
    assert (third.patient, third.split, third.fold) == ("P2", "test", 1)


def test_votes_attributes_and_ignored_cells_are_kept(tmp_path):
    data_set = table.read(layout.write(tmp_path), OPTIONS)
    first, second, third = data_set.pictures[0].cells
    assert first.votes == ("blast", "lymphocyte", "blast")
    assert first.attributes == {"size": "large"}
    assert third.attributes == {}
    assert [cell.ignored for cell in (first, second, third)] == [False, False, True]
    assert third.label is None
    assert data_set.attributes.values == {"size": ("large", "small")}


def test_a_box_over_the_edge_is_noted_with_its_line(tmp_path):
    assert table.read(layout.write(tmp_path), OPTIONS).notes == (
        "boxes that reach over the edge of their picture, clipped: 1 (first: cells.csv, line 3)",
    )


def test_a_table_without_attributes_has_no_schema(tmp_path):
    assert reading(tmp_path, "image,label\na.png,BLA\n").attributes is None


def test_the_pixel_size_may_come_from_the_domain(tmp_path):
    options = ReadOptions("bmc21", 0.2, (("phone", 0.3),))
    assert reading(tmp_path, "image,domain\na.png,phone\n", options).pictures[0].um_per_px == 0.3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,left,right\na.png,1,2\n", "left, right without the rest of left, top, right, bottom"),
        ("image,x\na.png,1\n", "x without the rest of x, y"),
        ("image,patientid\na.png,1\n", "unknown column patientid; known are image, left"),
        ("picture,label\na.png,BLA\n", "column image missing; found picture, label"),
        ("image,label,label\na.png,BLA,BLA\n", "named twice"),
        ("image,label\na.png\n", "row 2: has not the 2 columns"),
        ("image,label\na.png,BLA,1\n", "row 2: has not the 2 columns"),
        ("image,label\n", "no rows"),
        ("", "column image missing; found no header"),
        ('image,label\n"a.png,BLA\n', "not valid CSV"),
        ("image,label\na.png,Blast cell\n", "line 2: taxonomy bmc21 does not know"),
        ("image,label,votes\na.png,BLA,BLA;Q\n", "does not know the raw label 'Q'"),
        ("image,split\na.png,training\n", "split must be one of train, val, test"),
        ("image,fold\na.png,1.5\n", "fold must be a whole number"),
        ("image,um_per_px\na.png,0\n", "um_per_px must be above zero"),
        ("image,um_per_px\na.png,0.1um\n", "um_per_px must be a number"),
        ("image,ignored\na.png,yes\n", "ignored must be 0 or 1"),
        ("image,left,top,right,bottom\na.png,1,2,,4\n", "line 2: wanted are all of left"),
        ("image,left,top,right,bottom,x,y\na.png,1,2,3,4,5,6\n", "line 2: wanted are all of left"),
        ("image,left,top,right,bottom\na.png,1,2,three,4\n", "right must be a number, not 'three'"),
        ("image,patient\na.png,P1\na.png,P2\n", "line 3: patient differs from that of a.png in an earlier row"),
        ("image,label\n../a.png,BLA\n", "without '..'"),
        ("image,label\n/etc/a.png,BLA\n", "must be a path from the folder of the table"),
        ("image,label\n,BLA\n", "image '.' must be a path"),
        ("image,label\nb.png,BLA\n", r"b\.png: the picture is not there"),
    ],
)
def test_a_table_that_cannot_be_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        reading(tmp_path, text)


def test_the_table_of_a_folder_is_the_one_that_is_there(tmp_path):
    layout.write(tmp_path)
    write_text(tmp_path / "more.csv", "image\n")
    with pytest.raises(UserError, match=r"one \.csv file, such as cells\.csv \(there are 2\)"):
        table.read(tmp_path, OPTIONS)


def test_rows_are_read_with_the_marks_of_spreadsheets(tmp_path):
    (tmp_path / "t.csv").write_bytes('\ufeffimage , label\r\na.png,"x, y"\r\n'.encode())
    assert table.rows_of(open_tree(tmp_path), "t.csv", ("image",)) == [{"image": "a.png", "label": "x, y"}]
