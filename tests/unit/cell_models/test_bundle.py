import hashlib
import json
import os
import pickle
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from marrow_models.bundle import (
    CLASSIFIER,
    DETECTOR,
    INFERENCE,
    METADATA,
    load_bundle,
    shipped_bundles,
)
from marrow_models.errors import BundleError, Reason, SlideRefused
from marrow_models.networks.loading import LARGEST_HEADER_BYTES, load_networks
from tests.unit.cell_models import factories


@pytest.fixture
def made(tmp_path):
    """A bundle of one's own to spoil."""
    return factories.bundle(tmp_path)


def rewrite(bundle, name, data):
    """Replace a file and promise the new digest, as somebody does who can write the whole bundle."""
    (bundle.path / name).write_bytes(data)
    edit(bundle, lambda content: content["marrow"]["files"].__setitem__(name, hashlib.sha256(data).hexdigest()))


def edit(bundle, change, name=METADATA):
    path = bundle.path / name
    content = json.loads(path.read_bytes())
    change(content)
    if name == METADATA:
        path.write_text(json.dumps(content))
    else:
        rewrite(bundle, name, json.dumps(content).encode())


def spoil_tensors(bundle, change, name=CLASSIFIER):
    tensors = load_file(bundle.path / name)
    change(tensors)
    save_file(tensors, bundle.path / "spoiled")
    rewrite(bundle, name, (bundle.path / "spoiled").read_bytes())
    (bundle.path / "spoiled").unlink()


def refusal(bundle):
    with pytest.raises(BundleError) as error:
        load_networks(load_bundle(bundle.path))
    return str(error.value)


def test_a_bundle_comes_back_as_it_was_written(made):
    loaded = load_bundle(made.path)
    assert loaded == made
    assert (loaded.name, loaded.version, loaded.taxonomy) == ("toy", "0.1.0", "blood3")
    assert loaded.labels == factories.LABELS
    assert loaded.detector == factories.DETECTOR
    assert loaded.classifier == factories.CLASSIFIER
    assert loaded.survey == factories.SURVEY
    assert loaded.slide_um_per_px == (0.1, 0.3)


def test_the_digest_is_of_the_metadata_and_so_of_all(made):
    assert made.digest == hashlib.sha256((made.path / METADATA).read_bytes()).hexdigest()
    files = {p.relative_to(made.path).as_posix() for p in made.path.rglob("*") if p.is_file()}
    assert files - {METADATA} == set(made.files)
    assert made.detector_digest == hashlib.sha256((made.path / DETECTOR).read_bytes()).hexdigest()
    assert made.classifier_digest == hashlib.sha256((made.path / CLASSIFIER).read_bytes()).hexdigest()


def test_the_same_networks_give_the_same_bundle(tmp_path):
    assert factories.bundle(tmp_path / "a").digest == factories.bundle(tmp_path / "b").digest


def test_metadata_have_what_monai_asks_of_a_bundle(made):
    content = json.loads((made.path / METADATA).read_bytes())
    required = {"version", "changelog", "monai_version", "pytorch_version", "numpy_version", "task", "description"}
    required |= {"authors", "copyright", "network_data_format", "eval_metrics", "intended_use"}
    assert required <= content.keys()
    scores = content["network_data_format"]["outputs"]["cell_class"]
    assert list(scores["channel_def"].values()) == list(factories.LABELS)


def test_networks_are_loaded_once(made):
    assert load_networks(made) is load_networks(load_bundle(made.path))


def test_loading_runs_no_training_and_keeps_no_gradient(made):
    detector, classifier = load_networks(made)
    for part in (detector, classifier):
        network = part.network
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())


def test_a_bundle_that_is_not_there_says_which_are():
    with pytest.raises(BundleError, match="no model bundle 'nosuch'"):
        load_bundle("nosuch")


def test_a_path_can_be_relative(made, monkeypatch):
    monkeypatch.chdir(made.path.parent)
    assert load_bundle("bundle").digest == made.digest


def test_every_shipped_bundle_loads():
    for name in shipped_bundles():
        load_networks(load_bundle(name))


@pytest.mark.parametrize("name", [INFERENCE, DETECTOR, CLASSIFIER, "docs/README.md", "diagnosis/diagnosis.json"])
def test_one_changed_byte_anywhere_is_noticed(made, name):
    data = bytearray((made.path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (made.path / name).write_bytes(data)
    assert "is not the file it was made with" in refusal(made)


@pytest.mark.parametrize("name", [INFERENCE, DETECTOR, "docs/README.md"])
def test_a_missing_file_is_named(made, name):
    (made.path / name).unlink()
    assert f"{name} is missing" in refusal(made)


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib", ".PT"])
def test_a_pickle_in_a_bundle_is_refused_by_its_name(made, tmp_path, suffix):
    canary = tmp_path / "canary"
    (made.path / "models" / f"detector{suffix}").write_bytes(pickle.dumps(Canary(canary)))
    assert "pickles and links are not loaded" in refusal(made)
    assert not canary.exists()


@pytest.mark.parametrize("by", [pickle.dumps, lambda value: b""], ids=["pickle", "torch"])
def test_a_pickle_under_the_name_of_weights_is_refused_by_its_content(made, tmp_path, by):
    canary = tmp_path / "canary"
    data = by(Canary(canary))
    if not data:
        torch.save(Canary(canary), tmp_path / "weights")
        data = (tmp_path / "weights").read_bytes()
    rewrite(made, DETECTOR, data)
    assert "detector.safetensors" in refusal(made)
    assert not canary.exists()


def test_a_link_is_refused(made, tmp_path):
    (tmp_path / "elsewhere").write_text("x")
    (made.path / "docs" / "link").symlink_to(tmp_path / "elsewhere")
    assert "links are not loaded" in refusal(made)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname"])
def test_a_file_outside_of_the_bundle_is_not_read(made, name):
    edit(made, lambda content: content["marrow"]["files"].__setitem__(name, "0" * 64))
    assert "a file outside of the bundle" in refusal(made)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("marrow"),
        lambda c: c["marrow"].pop("labels"),
        lambda c: c["marrow"].__setitem__("labels", []),
        lambda c: c["marrow"].__setitem__("labels", ["a", "a", "b"]),
        lambda c: c["marrow"]["files"].pop(DETECTOR),
        lambda c: c["marrow"].__setitem__("slide_um_per_px", [0, 0.3]),
        lambda c: c["marrow"].__setitem__("slide_um_per_px", ["fine", "coarse"]),
        lambda c: c["marrow"]["detector"].__setitem__("surprise", 1),
        lambda c: c["marrow"]["classifier"].pop("crop_px"),
    ],
)
def test_metadata_that_cannot_be_are_refused(made, change):
    edit(made, change)
    assert "is not that of a Marrow bundle" in refusal(made)


def test_metadata_that_are_no_json_or_too_large_are_refused(made):
    (made.path / METADATA).write_text("{")
    assert "is not that of a Marrow bundle" in refusal(made)
    (made.path / METADATA).write_bytes(b" " * ((1 << 20) + 1))
    assert "larger than any" in refusal(made)


def test_a_classifier_has_the_least_contrast_that_is_given_or_none(made):
    assert made.classifier.least_contrast == 0
    edit(made, lambda content: content["marrow"]["classifier"].__setitem__("least_contrast", 0.25))
    assert load_bundle(made.path).classifier.least_contrast == 0.25
    edit(made, lambda content: content["marrow"]["classifier"].pop("least_contrast"))
    assert load_bundle(made.path).classifier.least_contrast == 0


@pytest.mark.parametrize("value", [-0.1, 1.5, "much"])
def test_a_least_contrast_that_cannot_be_is_refused_by_name(made, value):
    edit(made, lambda content: content["marrow"]["classifier"].__setitem__("least_contrast", value))
    assert "least_contrast" in refusal(made)


@pytest.mark.parametrize("target", ["os.system", "torch.nn.Linear", "marrow_models.networks.crop.CropNet", None])
def test_a_network_that_is_not_on_the_list_is_not_made(made, target):
    edit(made, lambda content: content["detector"].__setitem__("_target_", target), INFERENCE)
    assert "is no network that Marrow makes" in refusal(made)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kinds", "$__import__('os').system('true')"),
        ("planes", ["@classifier"]),
        ("kinds", None),
        ("kinds", {"a b": 1}),
    ],
)
def test_an_argument_is_a_plain_value_and_never_evaluated(made, key, value):
    edit(made, lambda content: content["detector"].__setitem__(key, value), INFERENCE)
    assert "is no network that Marrow makes" in refusal(made)


@pytest.mark.parametrize(("key", "value"), [("surprise", 1), ("planes", [1, 2]), ("kinds", "many")])
def test_arguments_that_make_no_network_are_refused(made, key, value):
    edit(made, lambda content: content["detector"].__setitem__(key, value), INFERENCE)
    assert "cannot be made" in refusal(made)


HEAD = "heads.cell_class.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.__setitem__("extra", torch.zeros(1)), "does not fit the network at extra"),
        (lambda t: t.pop(HEAD), f"does not fit the network at {HEAD}"),
        (lambda t: t.__setitem__(HEAD, t[HEAD][:, :-1].contiguous()), f"does not fit the network at {HEAD}"),
        (lambda t: t.__setitem__(HEAD, t[HEAD].double()), f"does not fit the network at {HEAD}"),
        (lambda t: t[HEAD].view(-1).__setitem__(3, float("nan")), "not finite"),
        (lambda t: t[HEAD].view(-1).__setitem__(3, float("-inf")), "not finite"),
        (lambda t: t[HEAD].mul_(0.7123), "would be rounded"),
    ],
    ids=["extra", "missing", "shape", "type", "nan", "inf", "inexact"],
)
def test_weights_that_are_not_those_of_the_network_are_refused(made, change, said):
    spoil_tensors(made, change)
    assert said in refusal(made)


def test_a_bloated_header_is_refused_before_it_is_read(made):
    rewrite(made, DETECTOR, struct.pack("<Q", LARGEST_HEADER_BYTES + 1) + b"{}")
    assert "header larger than any" in refusal(made)


@pytest.mark.parametrize("data", [b"", b"\0" * 7, struct.pack("<Q", 100) + b"{}", b"x" * 300])
def test_a_file_that_is_no_safetensors_is_refused(made, data):
    rewrite(made, DETECTOR, data)
    assert "detector.safetensors" in refusal(made)


def test_a_bundle_replaced_during_a_run_is_noticed(made):
    edit(made, lambda content: content.__setitem__("version", "9"))
    with pytest.raises(BundleError, match="was replaced during the run"):
        load_networks(made)


@pytest.mark.parametrize("um", [0.1, 0.25, 0.3])
def test_a_slide_within_the_range_may_be_read(made, um):
    made.check_scale(um)


@pytest.mark.parametrize("um", [0.099, 0.301, 0.5])
def test_a_slide_out_of_range_is_refused_and_never_enlarged(made, um):
    with pytest.raises(SlideRefused) as refused:
        made.check_scale(um)
    assert refused.value.reason is Reason.MPP_OUT_OF_RANGE


def test_the_light_part_of_a_bundle_loads_without_torch():
    import subprocess
    import sys

    code = "import sys, marrow_models.bundle; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
