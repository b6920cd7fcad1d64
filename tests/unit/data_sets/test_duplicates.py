"""Pictures stored twice are found by content, and only those."""

import shutil

import pytest

from marrow_models.datasets.duplicates import identical_pictures, without_conflicts
from marrow_models.datasets.images import content_digest
from marrow_models.datasets.records import ImageRef, MarkedCell, Picture
from marrow_models.errors import UserError
from marrow_models.records import Rect
from tests.layouts.drawing import packed, write_picture


@pytest.fixture
def refs(tmp_path):
    for n in range(4):
        write_picture(tmp_path / f"{n}.bmp", 40, 40, seed=n)
    shutil.copyfile(tmp_path / "1.bmp", tmp_path / "4.bmp")
    return [ImageRef(tmp_path / f"{n}.bmp") for n in range(5)]


def one(ref, label):
    return Picture(ref, 40, 40, None, (MarkedCell(label, label),))


def test_equal_files_are_found_among_files_of_one_size(refs):
    assert len({ref.path.stat().st_size for ref in refs}) == 1
    assert identical_pictures(refs) == ((1, 4),)


def test_a_difference_outside_of_the_middle_tells_files_apart(tmp_path):
    for name, end in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / f"{name}.png").write_bytes(bytes(20_000) + end)
    assert identical_pictures([ImageRef(tmp_path / f"{n}.png") for n in "abc"]) == ((0, 2),)


def test_groups_are_those_of_equal_digests(tmp_path):
    refs = []
    for n in range(30):
        write_picture(tmp_path / f"{n}.png", 20, 20, seed=n % 11)
        refs.append(ImageRef(tmp_path / f"{n}.png"))
    digests = [content_digest(ref) for ref in refs]
    expected = {tuple(i for i, d in enumerate(digests) if d == digest) for digest in digests}
    assert set(identical_pictures(refs)) == {group for group in expected if len(group) > 1}


def test_a_file_and_a_member_of_an_archive_can_be_the_same_picture(refs, tmp_path):
    archive = packed(tmp_path, tmp_path.parent / "pictures.tar")
    mixed = [refs[0], ImageRef(archive, "0.bmp"), ImageRef(archive, "2.bmp"), ImageRef(archive, "1.bmp")]
    assert identical_pictures(mixed) == ((0, 1),)


def test_empty_files_are_the_same(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(b"")
    assert identical_pictures([ImageRef(tmp_path / "a"), ImageRef(tmp_path / "b")]) == ((0, 1),)


def test_parts_of_a_slide_are_told_by_their_place_without_opening_it(tmp_path):
    slide = tmp_path / "never_opened.svs"
    places = [Rect(0, 0, 10, 10), Rect(10, 0, 10, 10), Rect(0, 0, 10, 10)]
    assert identical_pictures([ImageRef(slide, rect_px=place) for place in places]) == ((0, 2),)


def test_no_pictures_are_no_groups():
    assert identical_pictures([]) == ()


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone.png"):
        identical_pictures([ImageRef(tmp_path / "gone.png"), ImageRef(tmp_path / "gone.png")])


def test_copies_of_two_classes_are_kept_out_and_copies_of_one_class_stay(refs):
    agreeing = [one(ref, "a") for ref in refs]
    assert without_conflicts(agreeing)[0] == tuple(agreeing)
    kept, (note,) = without_conflicts([*agreeing[:4], one(refs[4], "b")])
    assert [p.image.name for p in kept] == ["0.bmp", "2.bmp", "3.bmp"]
    assert "1.bmp=4.bmp" in note


def test_a_note_names_a_few_examples_only(tmp_path):
    pictures = []
    for n in range(5):
        for copy in "ab":
            write_picture(tmp_path / f"{n}{copy}.png", seed=n)
            pictures.append(one(ImageRef(tmp_path / f"{n}{copy}.png"), copy))
    kept, (note,) = without_conflicts(pictures)
    assert kept == ()
    assert note.startswith("5 pictures are stored more than once with different classes (0a.png=0b.png, ")
    assert note.count("=") == 3
