"""YOLO label files and the folders they come in; TXL-PBC, which is one of them."""

from __future__ import annotations

import pytest

from marrow_models.datasets import txl_pbc, yolo
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from tests.layouts import txl_pbc as txl_layout
from tests.layouts import yolo as layout
from tests.layouts.drawing import packed, write_picture, write_text

OPTIONS = layout.OPTIONS


def test_a_line_is_a_class_and_a_box_in_fractions_of_the_picture():
    (line,) = yolo.parse_lines("3 0.5 0.25 0.5 0.125\n\n", "a.txt")
    assert line.class_index == 3
    assert line.box_px(200, 80) == (50, 15, 150, 25)
    assert line.extra == ()


def test_extra_columns_are_kept_where_a_reader_knows_them():
    text = "1 0.5 0.5 0.1 0.1 0 1 2 0 1 0\n2 0.5 0.5 0.1 0.1 9 8 7 6 0 1 2 0 1 0\n"
    lines = yolo.parse_lines(text, "a.txt", extra_columns=(6, 10))
    assert lines[0].extra == (0, 1, 2, 0, 1, 0)
    assert lines[1].extra[:4] == (9, 8, 7, 6)


@pytest.mark.parametrize("line", ["1 0.5 0.5 0.1 0.1 0.9", "1 0.5 0.5 0.1", "1 0.1 0.1 0.2 0.1 0.2 0.2", "1"])
def test_columns_that_nobody_knows_are_refused_with_their_line(line):
    with pytest.raises(UserError, match=rf"a\.txt, line 2: {len(line.split())} columns, but 5 are known"):
        yolo.parse_lines(f"0 0.5 0.5 0.1 0.1\n{line}\n", "a.txt")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 120 60 40 40", "are these pixels"),
        ("1 0.5 0.5 -0.2 0.1", "fractions"),
        ("1.5 0.5 0.5 0.1 0.1", "whole number"),
        ("-1 0.5 0.5 0.1 0.1", "whole number"),
        ("RBC 0.5 0.5 0.1 0.1", "column 1 must be a number"),
        ("1 0.5 nan 0.1 0.1", "column 3 must be a number"),
    ],
)
def test_a_line_that_cannot_be_is_refused(line, message):
    with pytest.raises(UserError, match=message):
        yolo.parse_lines(line, "a.txt")


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("train/images/a.b.jpg", "train/labels/a.b.txt"),
        ("images/images/a.jpg", "images/labels/a.txt"),
        ("Images/a.png", "Labels/a.txt"),
        ("a.jpg", "a.txt"),
        ("my images/a.jpg", "my images/a.txt"),
    ],
)
def test_a_label_file_lies_where_the_tools_of_the_field_put_it(picture, label):
    assert yolo.label_name(picture) == label


def test_boxes_splits_and_defects_of_a_data_set_are_read(tmp_path):
    found = yolo.read(layout.write(tmp_path), OPTIONS)
    assert [(p.image.name, p.split, len(p.cells)) for p in found.pictures] == [
        ("a.jpg", "train", 2), ("b.jpg", "train", 2), ("background.jpg", "train", 0), ("c.jpg", "val", 2),
    ]  # fmt: skip
    first, second = found.pictures[0].cells
    assert first.label == "wbc"
    assert first.box_px == pytest.approx((4, 5, 24, 26), abs=1e-4)
    assert second.box_px[2] == 64
    assert found.notes == (
        "boxes that reach over the edge of their picture, clipped: 3 (first: labels/train/a.txt)",
        "boxes of zero size, dropped: 3 (first: labels/train/a.txt)",
    )


@pytest.mark.parametrize(
    "text", ["names:\n  0: WBC\n  1: RBC\n  2: Platelets\n", "names: ['WBC', 'RBC', 'Platelets']\n"]
)
def test_names_are_a_list_or_a_numbered_table(tmp_path, text):
    layout.write(tmp_path)
    write_text(tmp_path / "data.yaml", text)
    assert yolo.read(tmp_path, OPTIONS).pictures[0].cells[0].label == "wbc"


def test_names_may_be_in_a_list_of_classes(tmp_path):
    layout.write(tmp_path)
    (tmp_path / "data.yaml").unlink()
    write_text(tmp_path / "classes.txt", "Platelets\nRBC\nWBC\n\n")
    assert yolo.read(tmp_path, OPTIONS).pictures[0].cells[0].label == "platelet"


@pytest.mark.parametrize(
    "text",
    [
        "nc: 3\n",
        "names: {0: WBC, 2: RBC}\n",
        "names: []\n",
        "names: [WBC, WBC]\n",
        "names: [WBC, 7]\n",
        "[",
        "a: &x [*x]\nnames: *x\n",
    ],
)
def test_names_that_cannot_be_are_refused(tmp_path, text):
    layout.write(tmp_path)
    write_text(tmp_path / "data.yaml", text)
    with pytest.raises(UserError, match=r"data\.yaml"):
        yolo.read(tmp_path, OPTIONS)


def test_names_of_python_objects_are_not_made(tmp_path):
    layout.write(tmp_path)
    write_text(tmp_path / "data.yaml", "names: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(UserError, match="not valid YAML"):
        yolo.read(tmp_path, OPTIONS)


def test_without_names_the_error_asks_for_them(tmp_path):
    layout.write(tmp_path)
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(UserError, match=r"data\.yaml or classes\.txt; found images/, labels/"):
        yolo.read(tmp_path, OPTIONS)


def test_a_class_without_a_name_is_refused(tmp_path):
    layout.write(tmp_path)
    write_text(tmp_path / "labels" / "val" / "c.txt", "3 0.5 0.5 0.1 0.1\n")
    with pytest.raises(UserError, match=r"c\.txt: class 3, but there are names for 0 to 2 only"):
        yolo.read(tmp_path, OPTIONS)


def test_a_label_file_without_its_picture_is_refused(tmp_path):
    layout.write(tmp_path)
    (tmp_path / "images" / "val" / "c.jpg").unlink()
    with pytest.raises(UserError, match=r"c\.txt: a label file without its picture"):
        yolo.read(tmp_path, OPTIONS)


def test_labels_beside_their_pictures_are_found(tmp_path):
    write_picture(tmp_path / "obj" / "a.jpg")
    write_text(tmp_path / "obj" / "a.txt", "1 0.5 0.5 0.5 0.5\n")
    write_text(tmp_path / "obj.names", "WBC\nRBC\n")
    (picture,) = yolo.read(tmp_path, OPTIONS).pictures
    assert picture.cells[0].box_px == (16, 12, 48, 36)
    assert picture.split is None


@pytest.mark.parametrize("write", [txl_layout.write, txl_layout.write_flat])
@pytest.mark.parametrize("as_archive", [False, True])
def test_txl_pbc_is_read_as_published_and_flat_unpacked_and_packed(tmp_path, write, as_archive):
    folder = write(tmp_path / "in")
    found = txl_pbc.read(packed(folder, tmp_path / "a.tar") if as_archive else folder, ReadOptions(um_per_px=0.1))
    assert {cell.label for p in found.pictures for cell in p.cells} == {"wbc", "rbc", "platelet"}
    published = write is txl_layout.write
    assert [p.split for p in found.pictures] == (["test", "train", "train", "val"] if published else [None, None])
    assert {p.um_per_px for p in found.pictures} == {0.1}
    assert found.licence == "MIT"


def test_txl_pbc_without_its_labels_is_refused(tmp_path):
    write_picture(tmp_path / "images" / "a.jpg")
    with pytest.raises(UserError, match=r"labels/ with a \.txt for each; found images/"):
        txl_pbc.read(tmp_path, ReadOptions())
