import json

import numpy as np
import pytest

from marrow_models.errors import UserError
from marrow_models.training import fields as module
from marrow_models.training.crops import CropShape, centre_crops, crops_of
from marrow_models.training.fields import FieldSet, make_fields


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    return folder, make_fields(folder, count=3, seed=4)


def test_fields_are_drawn_with_their_truth(drawn):
    _, fields = drawn
    assert fields.images.shape == (3, module.SIZE_PX, module.SIZE_PX, 3)
    assert len(fields) == len(fields.boxes) == len(fields.labels) == len(fields.ignored) == 3
    assert all(len(boxes) == len(labels) > 0 for boxes, labels in zip(fields.boxes, fields.labels, strict=True))


def test_fields_that_are_there_are_read_and_not_drawn_again(drawn, monkeypatch):
    folder, fields = drawn
    monkeypatch.setattr(module, "training_field", None)
    again = make_fields(folder, count=3, seed=4)
    assert np.array_equal(again.images, fields.images)
    assert all(np.array_equal(a, b) for a, b in zip(again.boxes, fields.boxes, strict=True))


def test_a_field_depends_on_seed_and_number_only(drawn, tmp_path):
    _, fields = drawn
    fewer = make_fields(tmp_path, count=1, seed=4)
    assert np.array_equal(fewer.images[0], fields.images[0])
    more = make_fields(tmp_path, count=2, seed=4)
    assert np.array_equal(more.images[1], fields.images[1])


def test_fields_of_another_seed_or_of_other_code_are_drawn_anew(tmp_path):
    first = make_fields(tmp_path, count=1, seed=1)
    other = make_fields(tmp_path, count=1, seed=2)
    assert not np.array_equal(first.images, other.images)
    mark = tmp_path / "origin.json"
    origin = json.loads(mark.read_text()) | {"drawn_by": "older code"}
    mark.write_text(json.dumps(origin))
    stale = tmp_path / "fields-000000.npy"
    np.save(stale, np.zeros((1, module.SIZE_PX, module.SIZE_PX, 3), np.uint8))
    assert np.array_equal(make_fields(tmp_path, count=1, seed=2).images, other.images)


def test_a_folder_of_something_else_is_not_emptied(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="something else"):
        make_fields(tmp_path, count=1, seed=1)
    assert (tmp_path / "thesis.txt").exists()


def field_set(boxes, labels):
    image = np.zeros((1, 200, 200, 3), np.uint8)
    image[0, :, :, 0], image[0, :, :, 1] = np.mgrid[:200, :200]
    return FieldSet(image, (np.asarray(boxes, np.float32),), (labels,), (np.zeros((0, 4), np.float32),), 0.25)


def test_a_crop_is_centred_on_its_cell_as_in_the_analysis():
    crops = crops_of(field_set([[90, 60, 110, 90]], ("a",)), ("a",), CropShape(0.25, 40))
    centre = centre_crops(crops)[0]
    assert centre.shape == (40, 40, 3)
    # Row 75, column 100 of the field: the pixel after the middle, as the classifier cuts it.
    assert tuple(centre[20, 20, :2]) == (75, 100)


def test_cells_of_unknown_labels_or_cut_by_the_border_are_left_out():
    boxes = [[90, 60, 110, 90], [0, 60, 20, 90], [50, 50, 70, 70], [180, 100, 200, 120]]
    crops = crops_of(field_set(boxes, ("a", "a", "other", "b")), ("b", "a"), CropShape(0.25, 40))
    assert crops.classes.tolist() == [1]


def test_beyond_the_field_a_crop_is_white():
    crops = crops_of(field_set([[2, 90, 12, 110]], ("a",)), ("a",), CropShape(0.25, 40))
    assert (centre_crops(crops)[0, :, 0] == 255).all()
