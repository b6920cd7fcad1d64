"""Pictures of one cell each, in folders: the generic layout, Acevedo PBC and Raabin-WBC."""

from __future__ import annotations

import shutil
import time

import pytest

from marrow_models.datasets import acevedo, class_folder, raabin
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from tests.layouts import acevedo as acevedo_layout
from tests.layouts import class_folder as layout
from tests.layouts import raabin as raabin_layout
from tests.layouts.drawing import packed, write_picture, write_text

OPTIONS = layout.OPTIONS


def labels(data_set):
    return {picture.image.name: picture.cells[0].label for picture in data_set.pictures}


def test_the_class_is_the_folder_below_the_split_and_blocks_do_not_matter(tmp_path):
    found = class_folder.read(layout.write(tmp_path), OPTIONS)
    assert labels(found) == {
        "BLA_00001.jpg": "blast", "BLA_01001.jpg": "blast",
        "EBO_00001.png": "erythroblast", "photo 7.bmp": "lymphocyte",
    }  # fmt: skip
    assert {picture.split for picture in found.pictures} == {"train"}
    assert all(picture.is_single_cell for picture in found.pictures)


def test_flat_pictures_are_known_by_the_beginning_of_their_name(tmp_path):
    write_picture(tmp_path / "BLA_00008.jpg")
    write_picture(tmp_path / "PMO_1_2.jpg")
    assert labels(class_folder.read(tmp_path, OPTIONS)) == {"BLA_00008.jpg": "blast", "PMO_1_2.jpg": "promyelocyte"}


def test_a_folder_that_is_no_class_leaves_the_word_to_the_file_name(tmp_path):
    write_picture(tmp_path / "batch 3" / "BLA_7.jpg")
    assert labels(class_folder.read(tmp_path, OPTIONS)) == {"BLA_7.jpg": "blast"}


def test_a_picture_of_no_class_is_refused_with_both_names(tmp_path):
    write_picture(tmp_path / "Blasts (new)" / "photo_7.jpg")
    with pytest.raises(UserError, match=r"knows neither 'Blasts \(new\)' nor 'photo' as a class \(it has"):
        class_folder.read(tmp_path, OPTIONS)


def test_an_archive_of_class_folders_is_read_in_place(tmp_path):
    folder = layout.write(tmp_path / "in")
    assert labels(class_folder.read(packed(folder, tmp_path / "a.tar"), OPTIONS)) == labels(
        class_folder.read(folder, OPTIONS)
    )


def test_a_thousand_pictures_are_read_within_a_second(tmp_path):
    first = write_picture(tmp_path / "BLA" / "BLA_0.jpg", 250, 250)
    for number in range(1, 1000):
        shutil.copyfile(first, first.with_name(f"BLA_{number}.jpg"))
    begin = time.process_time()
    assert len(class_folder.read(tmp_path, OPTIONS).pictures) == 1000
    assert time.process_time() - begin < 1


def test_the_thirteen_prefixes_of_acevedo_are_eleven_classes_and_two_that_do_not_tell(tmp_path):
    found = acevedo.read(acevedo_layout.write(tmp_path), ReadOptions())
    told = labels(found)
    assert len(told) == 13
    assert len(set(told.values()) - {None}) == 11
    assert [name for name, label in told.items() if label is None] == ["IG_5.jpg", "NEUTROPHIL_10.jpg"]
    assert [p.image.name for p in found.pictures if p.cells[0].ignored] == ["IG_5.jpg", "NEUTROPHIL_10.jpg"]
    assert (told["MY_2.jpg"], told["MMY_3.jpg"]) == ("myelocyte", "metamyelocyte")
    assert {p.um_per_px for p in found.pictures} == {0.10}


def test_wbcatt_gives_split_and_attributes_of_what_it_lists(tmp_path):
    found = acevedo.read(acevedo_layout.write(tmp_path), ReadOptions())
    splits = {p.image.name: p.split for p in found.pictures}
    assert splits["BA_100102.jpg"] == "train"
    assert splits["SNE_8.jpg"] == "val"
    assert splits["LY_6.jpg"] == "test"
    assert splits["MY_2.jpg"] is None
    (described,) = (p.cells[0] for p in found.pictures if p.image.name == "LY_6.jpg")
    assert len(described.attributes) == 11
    assert found.notes == ("pictures of the WBCAtt tables that are not there: 1 (first: MO_99.jpg)",)


def test_acevedo_without_the_tables_has_no_attributes(tmp_path):
    found = acevedo.read(acevedo_layout.write(tmp_path) / "PBC_dataset_normal_DIB", ReadOptions())
    assert found.attributes is None
    assert {p.split for p in found.pictures} == {None}
    assert len(found.pictures) == 13


def test_a_picture_in_two_tables_of_wbcatt_is_refused(tmp_path):
    acevedo_layout.write(tmp_path)
    write_text(tmp_path / "pbc_attr_v1_test.csv", acevedo_layout.wbcatt(("BA_100102.jpg",)))
    with pytest.raises(UserError, match=r"BA_100102\.jpg is listed twice, in train and test"):
        acevedo.read(tmp_path, ReadOptions())


def test_an_attribute_value_that_wbcatt_does_not_have_is_refused(tmp_path):
    acevedo_layout.write(tmp_path)
    text = acevedo_layout.wbcatt(("BA_100102.jpg",)).replace(",small,", ",tiny,")
    write_text(tmp_path / "pbc_attr_v1_train.csv", text)
    with pytest.raises(UserError, match=r"pbc_attr_v1_train\.csv, line 2: cell_size is 'tiny'; known are small, big"):
        acevedo.read(tmp_path, ReadOptions())


def test_a_file_of_acevedo_in_the_folder_of_another_class_is_refused(tmp_path):
    acevedo_layout.write(tmp_path)
    write_picture(tmp_path / "PBC_dataset_normal_DIB" / "monocyte" / "LY_77.jpg", 36, 36)
    with pytest.raises(UserError, match=r"LY_77\.jpg: a file in monocyte/ must begin with MO and _"):
        acevedo.read(tmp_path, ReadOptions())


def test_acevedo_without_a_class_folder_names_the_missing_one(tmp_path):
    acevedo_layout.write(tmp_path)
    shutil.rmtree(tmp_path / "PBC_dataset_normal_DIB" / "ig")
    with pytest.raises(UserError, match=r"\(missing: ig\); found basophil/, eosinophil/"):
        acevedo.read(tmp_path, ReadOptions())


def test_the_two_test_sets_of_raabin_are_two_domains(tmp_path):
    found = raabin.read(raabin_layout.write(tmp_path), raabin_layout.OPTIONS)
    places = {(p.domain, p.split, p.um_per_px) for p in found.pictures}
    assert places == {("Train", "train", 0.1), ("TestA", "test", 0.1), ("TestB", "test", 0.12)}
    assert {p.cells[0].label for p in found.pictures if p.domain == "TestB"} == {"lymphocyte", "neutrophil"}


def test_raabin_with_a_class_of_another_data_set_is_refused(tmp_path):
    raabin_layout.write(tmp_path)
    write_picture(tmp_path / "Train" / "Blast" / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg: taxonomy raabin5 does not know the raw label 'Blast'"):
        raabin.read(tmp_path, ReadOptions())
