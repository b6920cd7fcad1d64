"""C-NMC 2019: subjects, folds, and the two test sets."""

import shutil

import pytest

from marrow_models.datasets import cnmc
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from tests.layouts import cnmc as layout
from tests.layouts.drawing import write_picture

PART = "C-NMC_test_prelim_phase_data"


@pytest.fixture
def data(tmp_path):
    return layout.write(tmp_path / "cnmc")


@pytest.fixture
def root(data):
    return data / "PKG - C-NMC 2019"


def read(path, **options):
    return cnmc.read(path, ReadOptions(**options))


def training(found):
    return [p for p in found.pictures if p.split == "train"]


def test_the_subject_is_the_second_word_of_the_name(data):
    for picture in training(read(data)):
        assert picture.image.name.split("_")[1] == picture.patient


def test_a_leukaemic_and_a_normal_subject_of_one_number_are_two(data, root):
    write_picture(root / "C-NMC_training_data/fold_0/hem/UID_H1_1_1_hem.bmp", 30, 30, seed=900)
    assert {"1", "H1"} <= {p.patient for p in training(read(data))}


def test_folds_are_the_authors_and_share_no_subject(data):
    found = read(data)
    for fold in range(3):
        assert {p.patient for p in training(found) if p.fold == fold} == set(layout.SUBJECTS[f"fold_{fold}"])
    assert not [note for note in found.notes if "fold" in note]


def test_a_subject_in_two_folds_is_noted(data, root):
    write_picture(root / "C-NMC_training_data/fold_2/all/UID_1_9_1_all.bmp", 30, 30, seed=901)
    assert "subjects in more than one fold: 1." in read(data).notes


def test_there_are_two_classes_and_no_subtypes(data):
    found = read(data)
    assert found.taxonomy.labels == ("all", "hem")
    assert {p.cells[0].label for p in training(found)} == {"all", "hem"}


def test_neither_class_counts_in_a_differential():
    assert {c.in_differential for c in cnmc.load_taxonomy("cnmc2").classes} == {False}


def test_the_preliminary_test_set_has_classes_and_subjects_from_the_table(data):
    tested = {p.image.name: p for p in read(data).pictures if p.split == "test" and p.cells[0].label}
    assert {name: (p.cells[0].label, p.patient) for name, p in tested.items()} == {
        "1.bmp": ("all", "57"),
        "2.bmp": ("hem", "H58"),
        "3.bmp": ("all", "57"),
    }


def test_the_final_test_set_has_no_classes(data):
    final = [p for p in read(data).pictures if "final" in p.image.path.parent.name]
    assert len(final) == 2
    for picture in final:
        assert (picture.split, picture.patient, picture.label) == ("test", None, None)
        assert picture.cells[0].label is None
        assert picture.cells[0].ignored


def test_the_pixel_size_is_the_users(data):
    assert {p.um_per_px for p in read(data).pictures} == {None}
    assert {p.um_per_px for p in read(data, um_per_px=0.1).pictures} == {0.1}


def test_the_training_data_alone_can_be_read(data, root):
    found = read(root / "C-NMC_training_data")
    assert len(found.pictures) == 18
    assert any(cnmc.PRELIM_TABLE in note for note in found.notes)


def test_the_folders_of_the_copies_on_kaggle_will_do(data, root, tmp_path):
    copy = tmp_path / "C-NMC_Leukemia"
    shutil.copytree(root / "C-NMC_training_data", copy / "training_data")
    shutil.copytree(root / PART, copy / "validation_data")
    shutil.copytree(root / "C-NMC_test_final_phase_data", copy / "testing_data")
    assert len(read(copy).pictures) == len(read(data).pictures)


def test_a_missing_fold_is_named(data, root):
    shutil.rmtree(root / "C-NMC_training_data" / "fold_1")
    with pytest.raises(UserError, match="fold_0, fold_1, fold_2"):
        read(data)


def test_a_fold_without_one_class_is_refused(data, root):
    shutil.rmtree(root / "C-NMC_training_data" / "fold_2" / "hem")
    with pytest.raises(UserError, match=r"\.bmp files in .*fold_2/hem"):
        read(data)


def test_a_name_without_a_subject_is_refused(data, root):
    write_picture(root / "C-NMC_training_data/fold_0/all/cell7.bmp", 30, 30)
    with pytest.raises(UserError, match=r"cell7.bmp' gives no subject"):
        read(data)


def test_a_picture_in_the_other_classs_folder_is_refused(data, root):
    write_picture(root / "C-NMC_training_data/fold_0/all/UID_H9_1_1_hem.bmp", 30, 30)
    with pytest.raises(UserError, match="the name says hem, the folder all"):
        read(data)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Patient_ID,", "subject,", "column Patient_ID missing"),
        ("1.bmp,1", "1.bmp,0", "line 2: labels is '0', but UID_57_29_1_all.bmp says all"),
        ("2.bmp,0", "2.bmp,", "line 3: labels is ''"),
        (",3.bmp", ",33.bmp", "line 4: 33.bmp is not in"),
        ("UID_57_22", "57_22", "line 4: '57_22_2_all.bmp' gives no subject"),
    ],
)
def test_what_is_wrong_in_the_table_is_named_by_line(data, root, old, new, message):
    table = root / PART / cnmc.PRELIM_TABLE
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        read(data)


def test_a_table_without_its_pictures_is_refused(data, root):
    shutil.rmtree(root / PART / PART)
    with pytest.raises(UserError, match=r"1.bmp is not in C-NMC_test_prelim_phase_data"):
        read(data)
