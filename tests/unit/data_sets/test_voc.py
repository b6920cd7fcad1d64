"""Pascal VOC, and the two releases of BCCD that use it."""

from __future__ import annotations

import pytest

from marrow_models.datasets import bccd, voc
from marrow_models.datasets.images import read_image
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from tests.layouts import bccd as bccd_layout
from tests.layouts import voc as layout
from tests.layouts.drawing import packed, voc_xml, write_picture, write_text

OPTIONS = layout.OPTIONS
LAUGHS = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'


def test_objects_and_splits_are_read(tmp_path):
    found = voc.read(layout.write(tmp_path), OPTIONS)
    assert [(p.image.name, p.split) for p in found.pictures] == [
        ("a.jpg", "train"),
        ("b.jpg", "val"),
        ("c.jpg", "test"),
    ]
    white, red = found.pictures[0].cells
    assert (white.label, white.box_px, white.ignored) == ("wbc", (4, 5, 24, 26), False)
    assert (red.label, red.box_px) == ("rbc", (30, 30, 64, 48))


def test_a_difficult_object_is_ignored(tmp_path):
    assert voc.read(layout.write(tmp_path), OPTIONS).pictures[0].cells[1].ignored


def test_a_picture_without_an_annotation_is_left_out_and_noted(tmp_path):
    found = voc.read(layout.write(tmp_path), OPTIONS)
    assert found.notes == ("pictures without an annotation file, left out: 1 (first: unmarked)",)


def test_an_annotation_without_its_picture_is_refused(tmp_path):
    layout.write(tmp_path)
    (tmp_path / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(UserError, match=r"b\.xml: its picture is not in JPEGImages/"):
        voc.read(tmp_path, OPTIONS)


def test_a_picture_in_two_splits_is_refused(tmp_path):
    layout.write(tmp_path)
    write_text(tmp_path / "ImageSets" / "Main" / "test.txt", "c\na\n")
    with pytest.raises(UserError, match=r"test\.txt: a is in train\.txt as well"):
        voc.read(tmp_path, OPTIONS)


def test_an_annotation_of_another_size_is_refused(tmp_path):
    layout.write(tmp_path)
    write_text(tmp_path / "Annotations" / "a.xml", voc_xml("a.jpg", (640, 480), [("RBC", (100, 100, 200, 200), 0)]))
    with pytest.raises(UserError, match=r"a\.xml: says 640 x 480 px, but its picture has 64 x 48 px"):
        voc.read(tmp_path, OPTIONS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "not valid XML"),
        ("<html/>", "root must be <annotation>, not <html>"),
        ("<annotation><object><name>RBC</name></object></annotation>", "without <name> or <bndbox>"),
        ("<annotation><object><bndbox/></object></annotation>", "without <name> or <bndbox>"),
        ("<annotation><object><name>RBC</name><bndbox><xmin>1</xmin></bndbox></object></annotation>", "<ymin> must be"),
        ("<annotation><object><name>Blast</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
         "</bndbox></object></annotation>", "does not know the raw label 'Blast'"),
    ],
)  # fmt: skip
def test_an_annotation_that_cannot_be_is_refused_by_name(tmp_path, text, message):
    layout.write(tmp_path)
    write_text(tmp_path / "Annotations" / "a.xml", text)
    with pytest.raises(UserError, match=message) as caught:
        voc.read(tmp_path, OPTIONS)
    assert "a.xml" in str(caught.value)


@pytest.mark.parametrize("data", [LAUGHS, b'<!DOCTYPE a SYSTEM "file:///etc/hostname"><annotation/>'])
def test_xml_that_declares_entities_is_refused(data):
    with pytest.raises(UserError, match=r"a\.xml: declares a document type or entities"):
        voc.parse_xml(data, "a.xml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp037"])
def test_no_encoding_hides_a_declaration(encoding):
    text = LAUGHS.decode().replace("<?xml version", f"<?xml encoding='{encoding}' version")
    with pytest.raises(UserError, match=r"a\.xml"):
        voc.parse_xml(text.encode(encoding), "a.xml")


def test_xml_of_endless_length_is_refused():
    with pytest.raises(UserError, match="larger than"):
        voc.parse_xml(b"<annotation>" + b" " * (5 << 20) + b"</annotation>", "a.xml")


def test_annotations_beside_their_pictures_are_read(tmp_path):
    write_picture(tmp_path / "film 1" / "a.png")
    write_text(tmp_path / "film 1" / "a.xml", voc_xml("a.png", (64, 48), [("RBC", (1, 2, 30, 40), 0)]))
    (picture,) = voc.read(tmp_path, OPTIONS).pictures
    assert picture.cells[0].box_px == (1, 2, 30, 40)
    assert picture.split is None


def test_an_annotation_beside_no_picture_is_refused(tmp_path):
    bccd_layout.write(tmp_path)
    (tmp_path / "training" / "BloodImage_00001.jpg").unlink()
    with pytest.raises(UserError, match=r"BloodImage_00001\.xml: its picture is not beside it"):
        bccd.read(tmp_path, ReadOptions())


@pytest.mark.parametrize("as_archive", [False, True])
def test_the_cleaned_bccd_has_two_splits_and_a_box_without_area(tmp_path, as_archive):
    folder = bccd_layout.write(tmp_path / "in")
    found = bccd.read(packed(folder, tmp_path / "bccd.tar") if as_archive else folder, bccd_layout.OPTIONS)
    assert [p.split for p in found.pictures] == ["test", "train", "train"]
    assert [cell.label for cell in found.pictures[0].cells] == ["wbc", "rbc", "platelet"]
    assert found.notes == ("boxes of zero size, dropped: 3 (first: testing/BloodImage_00343.xml)",)
    assert found.source == bccd.CLEANED
    assert read_image(found.pictures[0].image).shape == (48, 64, 3)


@pytest.mark.parametrize("from_within", [False, True])
def test_the_first_bccd_has_three_splits(tmp_path, from_within):
    folder = bccd_layout.write_first(tmp_path)
    found = bccd.read(folder / "BCCD" if from_within else folder, ReadOptions())
    assert [p.split for p in found.pictures] == ["train", "val", "test"]
    assert found.source == bccd.FIRST
    assert found.pictures[0].um_per_px is None
    assert found.notes == ()


def test_bccd_without_its_testing_half_is_refused(tmp_path):
    write_picture(tmp_path / "training" / "a.jpg")
    with pytest.raises(UserError, match=r"training/ and testing/ .*; found training/"):
        bccd.read(tmp_path, ReadOptions())
