"""Bone-Marrow-Cytomorphology: 21 classes in blocks of 1000."""

import shutil

import pytest

from marrow_models.datasets import bmc
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy
from tests.layouts import bmc as layout
from tests.layouts.drawing import packed, write_picture


@pytest.fixture
def data(tmp_path):
    return layout.write(tmp_path / "bmc")


def read(path, **options):
    return bmc.read(path, ReadOptions(**options))


def test_every_class_of_the_taxonomy_has_its_folder():
    taxonomy = load_taxonomy("bmc21")
    assert {taxonomy.resolve(code) for code in bmc.CLASSES} == set(taxonomy.labels)
    assert len(bmc.CLASSES) == 21


@pytest.mark.parametrize(
    ("code", "label"),
    [("BLA", "blast"), ("MYB", "myelocyte"), ("PEB", "proerythroblast"), ("FGC", "faggot_cell"), ("ART", "artefact")],
)
def test_a_folder_means_its_class(data, code, label):
    cells = [p.cells[0] for p in read(data).pictures if p.image.name.startswith(code)]
    assert cells
    assert {(cell.label, cell.raw_label) for cell in cells} == {(label, code)}


def test_blocks_come_in_the_order_of_their_numbers(data):
    numbers = [int(p.image.path.stem[4:]) for p in read(data).pictures if p.image.name.startswith("NGS")]
    assert numbers == [1, 2, 9001, 9002, 10001, 10002]


def test_the_short_last_block_is_read(data):
    assert "NGB_09454.jpg" in {p.image.name for p in read(data).pictures}


def test_the_pixel_size_is_the_users_and_unknown_without(data):
    assert {p.um_per_px for p in read(data).pictures} == {None}
    assert {p.um_per_px for p in read(data, um_per_px=0.17).pictures} == {0.17}


def test_there_is_no_patient_and_no_published_split(data):
    assert {(p.patient, p.split, p.fold) for p in read(data).pictures} == {(None, None, None)}


def test_a_picture_stored_twice_is_noted_and_kept(data):
    found = read(data)
    assert len(found.notes) == 1
    assert "NGB_00001.jpg=NGB_09454.jpg" in found.notes[0]
    assert {"NGB_00001.jpg", "NGB_09454.jpg"} <= {p.image.name for p in found.pictures}


def test_a_picture_stored_under_two_classes_is_kept_out(data):
    root = data / "BM_cytomorphology_data"
    shutil.copyfile(root / "BLA/0001-1000/BLA_00001.jpg", root / "LYI/0001-1000/LYI_00065.jpg")
    found = read(data)
    assert not {"BLA_00001.jpg", "LYI_00065.jpg"} & {p.image.name for p in found.pictures}
    assert any("BLA_00001.jpg=LYI_00065.jpg" in note and "kept out" in note for note in found.notes)


def test_licence_and_source_are_the_publishers(data):
    found = read(data)
    assert (found.licence, found.source) == ("CC BY 4.0", "10.7937/TCIA.AXH3-T579")


def test_a_tar_archive_gives_the_same_pictures(data, tmp_path):
    found = read(packed(data, tmp_path / "bmc.tar"))
    assert [p.image.name for p in found.pictures] == [p.image.name for p in read(data).pictures]


def test_a_class_without_blocks_is_refused(data):
    folder = data / "BM_cytomorphology_data" / "EOS"
    for file in sorted((folder / "0001-1000").iterdir()):
        file.rename(folder / file.name)
    (folder / "0001-1000").rmdir()
    with pytest.raises(UserError, match=r"EOS/0001-1000.*class_folder"):
        read(data)


def test_a_picture_in_another_classs_folder_is_refused_by_name(data):
    write_picture(data / "BM_cytomorphology_data/EOS/0001-1000/EBO_00007.jpg", 32, 32)
    with pytest.raises(UserError, match=r"EBO_00007.jpg: a picture in folder EOS"):
        read(data)


def test_a_missing_class_is_named_with_what_is_there(data):
    shutil.rmtree(data / "BM_cytomorphology_data" / "KSC")
    with pytest.raises(UserError, match="KSC missing in BM_cytomorphology_data; found BM_cytomorphology_data/"):
        read(data)


def test_a_folder_of_something_else_is_refused(tmp_path):
    write_picture(tmp_path / "holiday" / "beach.jpg")
    with pytest.raises(UserError, match=r"ABE, ART, BAS.* missing"):
        read(tmp_path)
