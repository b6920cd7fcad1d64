"""What every reader of a data set promises, held against a small data set in each published layout."""

from __future__ import annotations

import os
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import tifffile
from PIL import Image, ImageFile

from marrow_models.datasets.images import archive_index, content_digest, read_image, size_of
from marrow_models.datasets.readers import READERS, read_data_set
from marrow_models.datasets.records import SPLITS, DataSet, ImageRef
from marrow_models.errors import UserError
from marrow_models.slides.dicom import DicomReader
from marrow_models.slides.openslide import OpenSlideReader
from marrow_models.slides.tiff import TiffReader

LAYOUTS = {name: import_module(f"tests.layouts.{name}") for name in sorted(READERS)}
each_layout = pytest.mark.parametrize("name", sorted(LAYOUTS))


def written(name: str, tmp_path: Path) -> Path:
    """The data set of a layout, below a folder whose name is none of the tame ones."""
    folder = tmp_path / f"données of {name}"
    folder.mkdir()
    return LAYOUTS[name].write(folder)


def read(name: str, path: Path) -> DataSet:
    return read_data_set(name, path, LAYOUTS[name].OPTIONS)


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory) -> dict[str, tuple[Path, DataSet]]:
    """Each layout, written and read once."""
    found = {}
    for name in LAYOUTS:
        path = written(name, tmp_path_factory.mktemp(name))
        found[name] = (path, read(name, path))
    return found


@pytest.fixture
def data_set(name, data_sets) -> DataSet:
    return data_sets[name][1]


def cells(data_set: DataSet):
    return [(picture, cell) for picture in data_set.pictures for cell in picture.cells]


@each_layout
def test_a_data_set_has_pictures_and_says_what_it_is(name, data_set):
    assert data_set.pictures
    assert data_set.name == name
    assert data_set.licence
    assert data_set.source
    assert all(note.strip() for note in data_set.notes)


@each_layout
def test_every_picture_can_be_read_and_has_the_stated_size(name, data_set):
    for picture in data_set.pictures:
        pixels = read_image(picture.image)
        assert pixels.shape == (picture.height_px, picture.width_px, 3)
        assert pixels.dtype == "uint8"
        assert size_of(picture.image) == (picture.width_px, picture.height_px)
        assert len(content_digest(picture.image)) == 64


@each_layout
def test_every_picture_is_there_once(name, data_set):
    references = [picture.image for picture in data_set.pictures]
    assert len(set(references)) == len(references)


@each_layout
def test_every_box_has_an_area_within_its_picture(name, data_set):
    for picture, cell in cells(data_set):
        if cell.box_px is not None:
            left, top, right, bottom = cell.box_px
            assert 0 <= left < right <= picture.width_px
            assert 0 <= top < bottom <= picture.height_px
            assert cell.point_px is None


@each_layout
def test_every_point_lies_within_its_picture(name, data_set):
    for picture, cell in cells(data_set):
        if cell.point_px is not None:
            assert 0 <= cell.point_px[0] <= picture.width_px
            assert 0 <= cell.point_px[1] <= picture.height_px


@each_layout
def test_every_label_and_vote_is_one_of_the_taxonomy(name, data_set):
    known = {None, *data_set.taxonomy.labels}
    for _, cell in cells(data_set):
        assert cell.label in known
        assert set(cell.votes) <= known
    assert any(cell.label for _, cell in cells(data_set)) or any(p.label for p in data_set.pictures)


@each_layout
def test_a_picture_with_an_unboxed_cell_shows_that_cell_alone(name, data_set):
    for picture, cell in cells(data_set):
        if cell.box_px is None and cell.point_px is None:
            assert picture.is_single_cell


@each_layout
def test_every_attribute_has_a_value_of_the_schema(name, data_set):
    for _, cell in cells(data_set):
        for attribute, value in cell.attributes.items():
            assert data_set.attributes is not None
            assert value in data_set.attributes.values[attribute]
    if data_set.attributes is not None:
        assert any(cell.attributes for _, cell in cells(data_set))


@each_layout
def test_splits_folds_and_pixel_sizes_are_possible(name, data_set):
    for picture in data_set.pictures:
        assert picture.split is None or picture.split in SPLITS
        assert picture.fold is None or picture.fold >= 0
        assert picture.um_per_px is None or 0 < picture.um_per_px < 10
        for rect in picture.annotated_px or ():
            assert rect.width > 0
            assert rect.height > 0


@each_layout
def test_a_patient_is_in_one_split_and_one_fold(name, data_set):
    places: dict[str, set[tuple[str | None, int | None]]] = {}
    for picture in data_set.pictures:
        if picture.patient is not None:
            places.setdefault(picture.patient, set()).add((picture.split, picture.fold))
    assert {patient: found for patient, found in places.items() if len(found) > 1} == {}


@each_layout
def test_reading_twice_gives_the_same_records(name, data_sets):
    path, data_set = data_sets[name]
    assert read(name, path) == data_set


@each_layout
def test_the_order_does_not_depend_on_the_order_of_the_disk(name, data_sets, monkeypatch):
    path, data_set = data_sets[name]
    list_names, scan = os.listdir, os.scandir

    class Backwards(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def close(self):
            return None

        def __next__(self):
            if not self:
                raise StopIteration
            return self.pop(0)

        def __iter__(self):
            return self

    def scanned(*args):
        with scan(*args) as entries:
            return Backwards(sorted(entries, key=lambda entry: entry.name, reverse=True))

    monkeypatch.setattr(os, "listdir", lambda *args: sorted(list_names(*args), reverse=True))
    monkeypatch.setattr(os, "scandir", scanned)
    assert read(name, path).pictures == data_set.pictures


@each_layout
def test_reading_decodes_no_pixels(name, data_sets, monkeypatch):
    def decoded(*_, **__):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(Image.Image, "load", decoded)
    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", decoded)
    for reader in (DicomReader, OpenSlideReader, TiffReader):
        monkeypatch.setattr(reader, "region", decoded)
    path, data_set = data_sets[name]
    assert read(name, path).pictures == data_set.pictures


@each_layout
def test_without_a_file_of_the_layout_the_error_names_it_and_what_is_there(name, tmp_path):
    path, wrong = written(name, tmp_path), LAYOUTS[name].WRONG
    (path / "something else.md").write_text("# notes")
    gone = [found for found in sorted(path.rglob("*")) if found.name == wrong]
    assert gone, "the layout names a file that it does not write"
    for found in gone:
        shutil.rmtree(found) if found.is_dir() else found.unlink(missing_ok=True)
    with pytest.raises(UserError) as caught:
        read(name, path)
    message = str(caught.value)
    assert wrong in message
    assert path.name in message


@each_layout
def test_an_empty_folder_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=tmp_path.name):
        read(name, tmp_path)


@each_layout
def test_nothing_at_the_path_is_refused(name, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        read(name, tmp_path / "nowhere")


@each_layout
def test_a_damaged_picture_is_refused_by_its_name(name, tmp_path):
    path = written(name, tmp_path)
    picture = read(name, path).pictures[-1]
    damage(picture.image)
    with pytest.raises(UserError) as caught:
        decode(name, path)
    assert picture.image.name in str(caught.value)


def decode(name: str, path: Path) -> None:
    """Read the data set and the pixels of all of its pictures."""
    for picture in read(name, path).pictures:
        read_image(picture.image)


def damage(ref: ImageRef) -> None:
    """Overwrite the bytes of a picture with others, as many."""
    offset, size = (0, ref.path.stat().st_size) if ref.member is None else archive_index(ref.path)[ref.member]
    with ref.path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x55" * size)


def test_a_layout_that_is_not_known_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="bccd, bmc"):
        read_data_set("bcdd", tmp_path)
