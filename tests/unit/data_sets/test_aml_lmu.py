"""AML-Cytomorphology_LMU: what MYB and MYO mean, and re-annotations as votes."""

import shutil

import pytest

from marrow_models.datasets import aml_lmu
from marrow_models.datasets.images import read_image
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from tests.layouts import aml_lmu as layout


@pytest.fixture
def data(tmp_path):
    return layout.write(tmp_path / "lmu")


def read(path):
    return aml_lmu.read(path, ReadOptions())


def cell(found, name):
    return next(p.cells[0] for p in found.pictures if p.image.name == name)


def edit(data, old, new):
    table = data / "annotations.dat"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))


def test_myb_is_the_myelocyte_and_myo_the_myeloblast(data):
    found = read(data)
    assert cell(found, "MYB_0001.tiff").label == "myelocyte"
    assert cell(found, "MYO_0001.tiff").label == "myeloblast"
    assert found.taxonomy.category_of("myeloblast") == "blast"
    assert found.taxonomy.category_of("myelocyte") == "myelocyte"


def test_there_are_15_classes(data):
    found = read(data)
    assert {p.cells[0].label for p in found.pictures} == set(found.taxonomy.labels)
    assert len(found.taxonomy.labels) == 15


def test_400_pixels_are_29_um(data):
    assert {p.um_per_px for p in read(data).pictures} == {29 / 400}
    assert 400 * read(data).pictures[0].um_per_px == pytest.approx(29)


def test_re_annotations_are_votes_after_the_published_class(data):
    found = read(data)
    assert cell(found, "MYO_0001.tiff").votes == ("myeloblast", "myeloblast", "myelocyte")
    assert cell(found, "MYB_0002.tiff").votes == ("myelocyte", "myeloblast")


def test_a_cell_that_was_annotated_once_has_that_vote(data):
    assert cell(read(data), "BAS_0001.tiff").votes == ("basophil",)


def test_votes_do_not_change_the_class(data):
    assert cell(read(data), "MYB_0002.tiff").label == "myelocyte"


def test_a_vote_for_no_class_of_the_set_is_left_out_and_noted(data):
    found = read(data)
    assert cell(found, "PMO_0001.tiff").votes == ("promyelocyte", "promyelocyte_bilobed")
    assert "UNC 1" in found.notes[-1]


def test_the_pictures_alpha_channel_is_dropped_when_read(data):
    assert read_image(read(data).pictures[0].image).shape == (40, 40, 3)


def test_without_the_table_there_are_no_votes_and_a_note(data):
    (data / "annotations.dat").unlink()
    found = read(data)
    assert {p.cells[0].votes for p in found.pictures} == {()}
    assert "no annotations.dat" in found.notes[0]
    assert len(found.pictures) == 30


def test_the_table_may_lie_elsewhere_in_the_release(data):
    (data / "metadata").mkdir()
    (data / "annotations.dat").rename(data / "metadata" / "annotations.dat")
    assert cell(read(data), "MYB_0002.tiff").votes == ("myelocyte", "myeloblast")


def test_pictures_that_only_the_table_knows_are_noted(data):
    (data / "AML-Cytomorphology" / "LYT" / "LYT_0002.tiff").unlink()
    assert any("not there: 1 (first: LYT/LYT_0002.tiff)" in note for note in read(data).notes)


def test_a_class_that_contradicts_the_folder_is_refused_by_line(data):
    edit(data, "MYB/MYB_0001.tiff MYB", "MYB/MYB_0001.tiff MYO")
    with pytest.raises(UserError, match=r"annotations.dat, line \d+: MYB/MYB_0001.tiff is called MYO"):
        read(data)


@pytest.mark.parametrize("line", ["MYB/MYB_0009.tiff", "MYB/MYB_0009.tiff XYZ NaN NaN", "a b c d e"])
def test_a_line_that_is_none_is_refused_by_number(data, line):
    with (data / "annotations.dat").open("a") as table:
        table.write(f"\n{line}\n")
    with pytest.raises(UserError, match=r"annotations.dat, line 32: expected path, class"):
        read(data)


def test_a_missing_class_is_named(data):
    shutil.rmtree(data / "AML-Cytomorphology" / "PMB")
    with pytest.raises(UserError, match="PMB missing"):
        read(data)
