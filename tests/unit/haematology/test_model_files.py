import hashlib
import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from marrow_models.diagnosis.differential import differential
from marrow_models.diagnosis.model_files import DESCRIPTION_FILE, WEIGHTS_FILE, ModelRecord, load_model, save_model
from marrow_models.diagnosis.skops_file import LARGEST_BYTES, dump_content, load_content
from marrow_models.errors import BundleError

from .patients import MARROW49, small_model, typical

RECORD = ModelRecord(taxonomy={"name": "marrow49"}, training={"seed": 7}, figures={"macro_f1": 1.0})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return folder, save_model(folder, small_model(), RECORD)


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved[0], tmp_path / "model"))


def describe(folder, **changes):
    """Change the description; with ``weights`` also what the checksum is of, as an intruder would."""
    path = folder / DESCRIPTION_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace_weights(folder, data):
    """Put other weights in place and make the checksum fit, so that only the later checks stand against them."""
    (folder / WEIGHTS_FILE).write_bytes(data)
    describe(folder, weights_sha256=hashlib.sha256(data).hexdigest())


def test_a_model_comes_back_as_it_was(saved):
    folder, model = saved
    loaded = load_model(folder, model.digest)
    patient = differential(typical("CML"), MARROW49)
    assert loaded.predict(patient) == small_model().predict(patient)
    assert (loaded.digest, loaded.classes) == (model.digest, model.classes)


def test_the_description_says_what_the_model_is_and_for_what(saved):
    description = json.loads((saved[0] / DESCRIPTION_FILE).read_text())
    assert description["training"] == {"seed": 7}
    assert description["intended_use"].startswith("For Research Use Only.")
    assert description["libraries"].keys() == {"scikit-learn", "skops"}


def test_the_same_model_is_the_same_bytes_in_another_process(saved):
    code = (
        "import sys; sys.path.insert(0, '.'); from pathlib import Path\n"
        "from marrow_models.diagnosis.model_files import load_model\n"
        "from marrow_models.diagnosis.skops_file import dump_content\n"
        "import hashlib; junk = [object() for _ in range(1000)]\n"
        "m = load_model(Path(sys.argv[1])); n = m.novelty\n"
        "c = {'pipeline': m.pipeline, 'means': n.means, 'precisions': n.precisions}\n"
        "print(hashlib.sha256(dump_content(c)).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(saved[0])], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256((saved[0] / WEIGHTS_FILE).read_bytes()).hexdigest()


def test_no_partial_file_is_left_behind(saved):
    assert sorted(p.name for p in saved[0].iterdir()) == [DESCRIPTION_FILE, WEIGHTS_FILE]


# --- altered files -----------------------------------------------------------------------------------------


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_weights_altered_by_one_byte_are_refused(saved, tmp_path, data):
    whole = (saved[0] / WEIGHTS_FILE).read_bytes()
    place, change = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    altered = bytearray(whole)
    altered[place] ^= change
    shutil.copy(saved[0] / DESCRIPTION_FILE, tmp_path / DESCRIPTION_FILE)
    (tmp_path / WEIGHTS_FILE).write_bytes(altered)
    with pytest.raises(BundleError, match="SHA-256"):
        load_model(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_an_altered_archive_whose_checksum_fits_never_crashes_the_reader(saved, data):
    altered = bytearray((saved[0] / WEIGHTS_FILE).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(4, len(altered) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(load_content(bytes(altered), "m.skops"), dict)
    except BundleError as error:
        assert str(error).startswith("m.skops")  # noqa: PT017


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_truncated_weights_are_refused(folder, size):
    whole = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(whole[:size])
    with pytest.raises(BundleError, match="SHA-256"):
        load_model(folder)


def test_another_digest_than_the_expected_is_refused(folder):
    with pytest.raises(BundleError, match="altered or replaced"):
        load_model(folder, "0" * 64)


def test_an_altered_description_does_not_have_the_digest_of_the_run(saved, folder):
    describe(folder, least_probability=0.0)
    assert load_model(folder).least_probability == 0.0
    with pytest.raises(BundleError, match="altered or replaced"):
        load_model(folder, saved[1].digest)


@pytest.mark.parametrize("name", [DESCRIPTION_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "of format 2"),
        ({"format": "1"}, "format must be"),
        ({"features": ["blast"]}, "other features"),
        ({"classes": ["AML", "ALL"]}, "three or more"),
        ({"classes": ["AML", "AML", "ALL", "CML"]}, "three or more different"),
        ({"classes": ["a", "b", "c", "d"]}, "other classes than its description"),
        ({"classes": ["a", "b", "c"]}, "coef_ is not a float array"),
        ({"novelty_limit": "far"}, "novelty_limit must be"),
        ({"surprise": 1}, "unknown member surprise"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, changes, words):
    describe(folder, **changes)
    with pytest.raises(BundleError, match=words):
        load_model(folder)


# --- hostile files -----------------------------------------------------------------------------------------


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_named_skops_is_refused_and_does_not_run(folder, tmp_path, protocol):
    sprung = tmp_path / "sprung"
    replace_weights(folder, pickle.dumps(Trap(sprung), protocol))
    with pytest.raises(BundleError, match="Pickles are never loaded"):
        load_model(folder)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung), protocol))
    assert sprung.exists()  # the trap does work


def test_a_pickle_within_an_array_is_refused_and_does_not_run(folder, tmp_path):
    sprung, hidden = tmp_path / "sprung", io.BytesIO()
    np.save(hidden, np.array([Trap(sprung)], dtype=object), allow_pickle=True)
    out = io.BytesIO()
    with zipfile.ZipFile(folder / WEIGHTS_FILE) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, hidden.getvalue() if name.endswith(".npy") else source.read(name))
    replace_weights(folder, out.getvalue())
    with pytest.raises(BundleError, match="damaged"):
        load_model(folder)
    assert not sprung.exists()


def shout(value):
    return value


@pytest.mark.parametrize(
    "content",
    [
        {"pipeline": Pipeline([("scale", FunctionTransformer(np.exp))])},
        {"pipeline": FunctionTransformer(shout)},
        {"pipeline": Ridge()},
        {"pipeline": print},
        {"pipeline": "".join},
    ],
)
def test_an_archive_with_other_types_is_refused_before_skops_builds_any(folder, content):
    replace_weights(folder, skops.io.dumps(content))
    with pytest.raises(BundleError, match="which no diagnosis model consists of"):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds no pipeline"),
        ({"pipeline": [1, 2]}, "holds no pipeline"),
        ({"pipeline": Pipeline([("scale", "passthrough")])}, "steps of the pipeline"),
        ({"pipeline": small_model().pipeline}, "means is not a float array"),
        ({"pipeline": small_model().pipeline, "means": small_model().novelty.means}, "precisions is not"),
        (
            {
                "pipeline": small_model().pipeline,
                "means": small_model().novelty.means,
                "precisions": small_model().novelty.precisions * np.nan,
            },
            "precisions holds values that are not finite",
        ),
    ],
)
def test_an_archive_without_the_parts_of_a_model_is_refused(folder, content, words):
    replace_weights(folder, dump_content(content))
    with pytest.raises(BundleError, match=words):
        load_model(folder)


def test_an_archive_of_something_else_than_a_dictionary_is_refused(folder):
    replace_weights(folder, skops.io.dumps([1, 2, 3]))
    with pytest.raises(BundleError, match="holds no diagnosis model"):
        load_model(folder)


def test_a_bomb_is_refused_before_it_is_unpacked(folder):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * (8 * LARGEST_BYTES))
    replace_weights(folder, out.getvalue())
    with pytest.raises(BundleError, match="unpacks to more"):
        load_model(folder)


def test_a_huge_file_is_refused_without_reading_all_of_it(folder):
    with (folder / WEIGHTS_FILE).open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="SHA-256"):
        load_model(folder)
    with pytest.raises(BundleError, match="larger than"):
        load_content(b"PK\x03\x04" + bytes(LARGEST_BYTES), "m.skops")
