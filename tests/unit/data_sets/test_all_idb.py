"""ALL-IDB: classes of fields and cells, centroids of blasts."""

import shutil

import pytest

from marrow_models.datasets import all_idb
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from tests.layouts import all_idb as layout


@pytest.fixture
def data(tmp_path):
    return layout.write(tmp_path / "ALL-IDB")


def read(path, **options):
    return all_idb.read(path, ReadOptions(**options))


def picture(found, name, domain=all_idb.FIELDS):
    return next(p for p in found.pictures if p.image.name == name and p.domain == domain)


def test_the_class_of_a_field_is_the_number_in_its_name(data):
    found = read(data)
    assert picture(found, "Im001_1.jpg").label == "blast"
    assert picture(found, "Im093_0.jpg").label == "no_blast"


def test_centroids_of_blasts_are_points(data):
    cells = picture(read(data), "Im001_1.jpg").cells
    assert [cell.point_px for cell in cells] == [(886.0, 726.0), (1007.0, 30.0)]
    assert {(cell.label, cell.box_px) for cell in cells} == {("blast", None)}


def test_line_ends_and_empty_lines_do_not_matter(data):
    assert [cell.point_px for cell in picture(read(data), "Im002_1.jpg").cells] == [(10.0, 12.0)]


def test_a_field_without_blasts_has_no_points(data):
    assert picture(read(data), "Im093_0.jpg").cells == ()


def test_a_picture_of_the_second_part_is_one_cell(data):
    cells = [p for p in read(data).pictures if p.domain == all_idb.CELLS]
    assert [p.cells[0].label for p in cells] == ["blast", "blast", "no_blast", "no_blast"]
    assert all(p.is_single_cell and p.label is None for p in cells)


def test_fields_and_cells_may_have_different_scales(data):
    found = read(data, um_per_px=0.5, um_per_px_by_domain=(("ALL_IDB2", 0.1),))
    assert picture(found, "Im001_1.jpg").um_per_px == 0.5
    assert picture(found, "Im001_1.tif", all_idb.CELLS).um_per_px == 0.1


def test_there_is_no_scale_unless_it_is_given(data):
    assert {p.um_per_px for p in read(data).pictures} == {None}


@pytest.mark.parametrize(("part", "pictures"), [("ALL_IDB1", 4), ("ALL_IDB2", 4), (".", 8)])
def test_each_part_can_be_read_alone(data, part, pictures):
    assert len(read(data / part).pictures) == pictures


def test_there_are_no_subtypes_and_nothing_to_count():
    classes = all_idb.load_taxonomy("all_idb2").classes
    assert [c.label for c in classes] == ["blast", "no_blast"]
    assert not any(c.in_differential for c in classes)


def test_the_field_that_is_there_twice_is_noted(data):
    assert any("Im093_0.jpg=Im108_0.jpg" in note for note in read(data).notes)


def test_arrows_in_the_fields_are_warned_of_and_not_in_the_cells(data):
    assert any("Arrows" in note for note in read(data / "ALL_IDB1").notes)
    assert read(data / "ALL_IDB2").notes == ()


def test_a_class_and_centroids_that_disagree_are_noted(data):
    (data / "ALL_IDB1/xyc/Im002_1.xyc").write_text("")
    assert any("disagree for 1 pictures, such as Im002_1.jpg" in note for note in read(data).notes)


@pytest.mark.parametrize("folder", ["im", "xyc"])
def test_half_of_the_first_part_is_refused_and_not_passed_over(data, folder):
    shutil.rmtree(data / "ALL_IDB1" / folder)
    with pytest.raises(UserError, match="ALL_IDB1/im and ALL_IDB1/xyc"):
        read(data)


def test_a_missing_table_of_centroids_is_named(data):
    (data / "ALL_IDB1/xyc/Im093_0.xyc").unlink()
    with pytest.raises(UserError, match=r"Im093_0.xyc: the centroids of this picture are missing"):
        read(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("886 726\n12\n", "line 2: expected the centroid"),
        ("1 2 3\n", "line 1: expected the centroid"),
        ("x y\n", "line 1: expected the centroid"),
        ("1713 5\n", "line 1: 1713, 5 lies outside of the picture of 1712 x 1368 px"),
        ("-1 5\n", "lies outside"),
        ("nan 5\n", "lies outside"),
    ],
)
def test_a_centroid_that_cannot_be_is_refused_by_line(data, text, message):
    (data / "ALL_IDB1/xyc/Im001_1.xyc").write_text(text)
    with pytest.raises(UserError, match=f"Im001_1.xyc, {message}" if message.startswith("line") else message):
        read(data)


def test_a_name_without_a_class_is_refused(data):
    (data / "ALL_IDB2/img/Im001_1.tif").rename(data / "ALL_IDB2/img/Im001.tif")
    with pytest.raises(UserError, match=r"Im001.tif: the name has no class"):
        read(data)


def test_another_folder_is_refused_with_what_was_expected(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("a")
    with pytest.raises(UserError, match="ALL_IDB1/im and ALL_IDB1/xyc, or ALL_IDB2/img; found photos/"):
        read(tmp_path)
