"""Folders and archives look the same to a reader."""

from __future__ import annotations

import pytest

from marrow_models.datasets.tree import open_tree, split_of
from marrow_models.errors import UserError
from tests.layouts.drawing import packed, write_picture, write_text


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for name in ("b/2.jpg", "b/1.PNG", "a/x/3.tiff", "top.bmp"):
        write_picture(root / name)
    write_text(root / "b" / "notes.txt", "\ufeffcafé\n")
    for name in (".hidden/4.jpg", "b/._1.PNG", "__MACOSX/b/1.PNG"):
        write_picture(root / name)
    return root


@pytest.mark.parametrize("as_archive", [False, True])
def test_the_files_have_the_same_names_in_a_folder_and_in_an_archive(folder, tmp_path, as_archive):
    tree = open_tree(packed(folder, tmp_path / "data.tar") if as_archive else folder)
    assert tree.names == ("a/x/3.tiff", "b/1.PNG", "b/2.jpg", "b/notes.txt", "top.bmp")
    assert tree.pictures() == ("a/x/3.tiff", "b/1.PNG", "b/2.jpg", "top.bmp")
    assert tree.pictures("b") == ("b/1.PNG", "b/2.jpg")
    assert tree.folders() == ("a", "b")
    assert tree.has_folder("a/x")
    assert not tree.has_folder("top.bmp")
    assert tree.text("b/notes.txt") == "café\n"
    assert tree.ref("b/2.jpg").name == "2.jpg"


def test_a_folder_that_begins_like_another_is_another(tmp_path):
    write_picture(tmp_path / "images2" / "a.jpg")
    assert open_tree(tmp_path).pictures("images") == ()


def test_text_in_another_encoding_is_refused_by_name(tmp_path):
    (tmp_path / "classes.txt").write_bytes("Größe".encode("latin-1"))
    with pytest.raises(UserError, match=r"classes\.txt: not UTF-8"):
        open_tree(tmp_path).text("classes.txt")


def test_the_error_for_another_layout_says_what_is_there(folder):
    error = open_tree(folder).wrong_layout("raabin", "Train/")
    assert str(error).startswith(f"{folder}: not the layout 'raabin'. Expected Train/; found a/, b/, top.bmp. ")


def test_the_error_for_another_layout_stays_short(tmp_path):
    for number in range(20):
        write_text(tmp_path / f"{number:02}.txt", "")
    message = str(open_tree(tmp_path).wrong_layout("coco", "a .json file"))
    assert "07.txt and 12 more." in message
    assert "08.txt" not in message


def test_what_is_neither_folder_nor_archive_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.txt: not an uncompressed tar"):
        open_tree(write_text(tmp_path / "a.txt", "a" * 2000))
    with pytest.raises(UserError, match="nothing at this path"):
        open_tree(tmp_path / "gone")


@pytest.mark.parametrize(
    ("folder_name", "split"),
    [("train", "train"), ("Training", "train"), ("valid", "val"), ("TESTING", "test"), ("trains", None), ("", None)],
)
def test_a_split_is_known_by_its_usual_names_only(folder_name, split):
    assert split_of(folder_name) == split
