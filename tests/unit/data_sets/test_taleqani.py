"""Blood cell Cancer [ALL]: both releases give the same four classes of pictures."""

import shutil

import pytest

from marrow_models.datasets import taleqani
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from tests.layouts import taleqani as layout

FOUR = ("benign", "early_pre_b", "pre_b", "pro_b")


@pytest.fixture
def by_stage(tmp_path):
    return layout.write(tmp_path / "stages")


@pytest.fixture
def by_diagnosis(tmp_path):
    return layout.write_by_diagnosis(tmp_path / "diagnoses")


def read(path, **options):
    return taleqani.read(path, ReadOptions(**options))


def test_both_releases_have_the_same_four_classes(by_stage, by_diagnosis):
    for path in (by_stage, by_diagnosis):
        found = read(path)
        assert {p.label for p in found.pictures} == set(FOUR) == set(found.taxonomy.labels)


@pytest.mark.parametrize(
    ("folder", "label"), list(zip([*taleqani.BY_DIAGNOSIS, *taleqani.BY_STAGE], FOUR * 2, strict=True))
)
def test_a_folder_means_its_class(by_stage, by_diagnosis, folder, label):
    path = by_diagnosis if folder in taleqani.BY_DIAGNOSIS else by_stage
    assert {p.label for p in read(path).pictures if p.image.path.parent.name == folder} == {label}


def test_the_class_is_the_pictures_and_no_cell_is_marked(by_stage):
    for picture in read(by_stage).pictures:
        assert picture.cells == ()
        assert not picture.is_single_cell
        assert picture.patient is None


def test_segmented_pictures_are_not_read(by_stage):
    assert {p.image.path.parent.parent.name for p in read(by_stage).pictures} == {"Original"}


def test_segmented_pictures_alone_are_refused(by_stage):
    shutil.rmtree(by_stage / "Original")
    with pytest.raises(UserError, match="Expected Original"):
        read(by_stage)


def test_segmented_pictures_do_not_stand_in_for_a_class_that_is_missing(by_stage):
    shutil.rmtree(by_stage / "Original" / "Pro")
    with pytest.raises(UserError, match="Original with Pro; found Original/, Segmented/"):
        read(by_stage)


def test_a_class_missing_in_the_other_release_is_named(by_diagnosis):
    shutil.rmtree(by_diagnosis / "Blood cell Cancer [ALL]" / "[Malignant] Pro-B")
    with pytest.raises(UserError, match="found Blood cell Cancer"):
        read(by_diagnosis)


def test_the_folder_counts_where_a_name_says_another_class(by_stage):
    found = read(by_stage)
    assert next(p.label for p in found.pictures if p.image.name == layout.MISNAMED) == "pro_b"
    assert any(f"their folder: 1 (Pro: {layout.MISNAMED})" in note for note in found.notes)


def test_names_that_agree_are_not_noted(by_stage):
    (by_stage / "Original" / "Pro" / layout.MISNAMED).unlink()
    assert len(read(by_stage).notes) == 1


def test_it_is_said_that_patients_are_unknown(by_diagnosis):
    assert "no patients are published" in read(by_diagnosis).notes[0]


def test_the_pixel_size_is_the_users(by_stage):
    assert {p.um_per_px for p in read(by_stage).pictures} == {None}
    assert {p.um_per_px for p in read(by_stage, um_per_px=0.3).pictures} == {0.3}


def test_one_field_under_two_classes_is_kept_out(by_diagnosis):
    root = by_diagnosis / "Blood cell Cancer [ALL]"
    shutil.copyfile(root / "Benign" / "Snap_001.jpg", root / "[Malignant] Pre-B" / "Snap_009.jpg")
    found = read(by_diagnosis)
    assert "Snap_009.jpg" not in {p.image.name for p in found.pictures}
    assert len(found.pictures) == 8 - 1


def test_classes_of_pictures_are_no_cells_of_a_differential():
    assert not any(c.in_differential for c in taleqani.load_taxonomy("taleqani4").classes)
