"""From a bundle to networks that run: weights checked key by key, each loaded once a process."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

from marrow_models.bundle import CLASSIFIER, DETECTOR, INFERENCE, Bundle, load_bundle
from marrow_models.classification import CLASS_HEAD, Classifier
from marrow_models.detection import Detector
from marrow_models.errors import BundleError
from marrow_models.networks.digits import fast_where_equal
from marrow_models.networks.heatmap import HeatmapNet
from marrow_models.networks.lattice import check_exact, folded_structure

DETECTORS = ("marrow_models.networks.heatmap.HeatmapNet",)
CLASSIFIERS = (
    "marrow_models.networks.crop.CropNet",
    "marrow_models.networks.lite.LiteCrops",
    "marrow_models.networks.residual.ResNet50Crops",
)
"""What ``_target_`` in a bundle may name; imported when it is named."""
LARGEST_HEADER_BYTES = 1 << 20
LARGEST_ARGUMENT = 4096
"""No network of ours has so many channels, blocks or classes; a definition that asks for billions never ends."""


def load_networks(bundle: Bundle, device: str = "cpu") -> tuple[Detector, Classifier]:
    """The bundle's detector and classifier on a device, loaded once in this process.

    Raises
    ------
    BundleError
        The weights are altered, or are not those of the networks that the bundle names.
    """
    return _load(str(bundle.path), bundle.digest, device)


@lru_cache(maxsize=4)
def _load(path: str, digest: str, device: str) -> tuple[Detector, Classifier]:
    # Convolutions in TF32 or with unordered sums would make results depend on the machine.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    bundle = load_bundle(path)
    if bundle.digest != digest:
        raise BundleError(f"Bundle {bundle.name} was replaced during the run. Start the run again.")
    detector = _network(bundle, "detector", DETECTOR, DETECTORS)
    classifier = _network(bundle, "classifier", CLASSIFIER, CLASSIFIERS)
    _check_outputs(bundle, detector, classifier)
    if device == "cpu":
        detector, classifier = fast_where_equal(detector), fast_where_equal(classifier)
    return Detector(detector, bundle.detector, device), Classifier(classifier, bundle.classifier, device)


def _network(bundle: Bundle, role: str, weights: str, known: tuple[str, ...]) -> Any:
    definition = bundle.networks.get(role)
    arguments = dict(definition) if isinstance(definition, dict) else {}
    target = arguments.pop("_target_", None)
    if not isinstance(target, str) or target not in known or not _plain(arguments):
        raise BundleError(f"Bundle {bundle.name}: {role} in {INFERENCE} is no network that Marrow makes ({target!r}).")
    tensors = read_weights(bundle, weights)
    module, _, name = target.rpartition(".")
    make = getattr(import_module(module), name)
    try:
        with torch.device("meta"):  # no memory yet: a definition may ask for more than the machine has
            _check_fit(bundle, weights, tensors, folded_structure(make(**arguments)))
        network = folded_structure(make(**arguments))
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RuntimeError) as error:
        raise BundleError(f"Bundle {bundle.name}: {role} in {INFERENCE} cannot be made ({error}).") from None
    network.load_state_dict(tensors)
    check_exact(network)
    return network


def _check_outputs(bundle: Bundle, detector: HeatmapNet, classifier: nn.Module) -> None:
    """The networks must have an output for everything that the bundle's metadata say they tell."""
    told = {CLASS_HEAD: len(bundle.labels)} | {name: len(v) for name, v in bundle.classifier.attributes.items()}
    heads = classifier.get_submodule("heads")
    found = {name: head.out_features for name, head in heads.named_children()}
    for name, outputs in told.items():
        if found.get(name) != outputs:
            raise BundleError(f"Bundle {bundle.name}: the classifier has no head {name} of {outputs} outputs.")
    if max(bundle.detector.counted_kinds) >= int(detector.kinds):
        raise BundleError(f"Bundle {bundle.name}: the detector does not find every kind that is to be counted.")


def _plain(value: object) -> bool:
    """Numbers, names, lists and mappings of them; no expression or reference as MONAI's parser knows them."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(key) and _plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    if isinstance(value, str):
        return value.isidentifier()
    return isinstance(value, int | float) and -LARGEST_ARGUMENT <= value <= LARGEST_ARGUMENT


def read_weights(bundle: Bundle, name: str) -> dict[str, torch.Tensor]:
    """The tensors of a file of a bundle; BundleError where it is altered, no safetensors file or holds no numbers."""
    data = bundle.read(name)
    if int.from_bytes(data[:8], "little") > LARGEST_HEADER_BYTES:
        raise BundleError(f"Bundle {bundle.name}: {name} has a header larger than any that Marrow writes.")
    try:
        tensors: dict[str, torch.Tensor] = load_tensors(data)
    except SafetensorError as error:
        raise BundleError(f"Bundle {bundle.name}: {name} is not a safetensors file ({error}).") from None
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise BundleError(f"Bundle {bundle.name}: {name} holds values that are not finite.")
    return tensors


def _check_fit(bundle: Bundle, name: str, tensors: dict[str, torch.Tensor], network: nn.Module) -> None:
    wanted = network.state_dict()
    wrong = sorted(tensors.keys() ^ wanted.keys())
    wrong += [key for key in wanted.keys() & tensors.keys() if _differs(tensors[key], wanted[key])]
    if wrong:
        raise BundleError(f"Bundle {bundle.name}: {name} does not fit the network at {wrong[0]}.")


def _differs(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return found.shape != wanted.shape or found.dtype != wanted.dtype
