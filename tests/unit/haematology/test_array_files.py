import hashlib
import json
import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from marrow_models.diagnosis.array_files import load_arrays, save_arrays
from marrow_models.diagnosis.skops_file import dump_content
from marrow_models.errors import BundleError

ARRAYS = {"one": np.arange(6.0).reshape(2, 3), "two": np.array([0.5])}


@pytest.fixture
def folder(tmp_path):
    save_arrays(tmp_path / "model", "m", ARRAYS, {"colour": "red"})
    return tmp_path / "model"


def replace_weights(folder, data):
    """Put other weights in place and make the checksum fit, as an intruder would."""
    (folder / "m.skops").write_bytes(data)
    path = folder / "m.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weights_sha256": hashlib.sha256(data).hexdigest()}))


def test_arrays_come_back_as_they_were(folder):
    loaded = load_arrays(folder, "m", ("colour",))
    assert loaded.description.text("colour") == "red"
    assert loaded.arrays.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(loaded.arrays[name], values)


def test_equal_models_give_equal_files_and_digests(folder, tmp_path):
    digest = save_arrays(tmp_path / "again", "m", ARRAYS, {"colour": "red"})
    assert load_arrays(folder, "m", ("colour",), digest).digest == digest
    for name in ("m.json", "m.skops"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_nothing_is_left_half_written(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["m.json", "m.skops"]


def test_a_pickle_is_refused(folder):
    replace_weights(folder, pickle.dumps(ARRAYS))
    with pytest.raises(BundleError, match="Pickles are never loaded"):
        load_arrays(folder, "m", ("colour",))


@pytest.mark.parametrize(
    "content", [{"one": LogisticRegression()}, {"one": "text"}, {"one": np.array([1])}, {"one": [1.0]}]
)
def test_anything_but_float_arrays_is_refused(folder, content):
    replace_weights(folder, dump_content(content))
    with pytest.raises(BundleError, match=r"m\.skops"):
        load_arrays(folder, "m", ("colour",))


def test_a_description_of_another_kind_of_model_is_refused(folder):
    with pytest.raises(BundleError, match="shape missing"):
        load_arrays(folder, "m", ("colour", "shape"))
