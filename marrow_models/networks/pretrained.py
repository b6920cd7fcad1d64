"""Starting from weights of somebody else: a ResNet-50 as torchvision and timm publish it, from a file at hand.

Nothing is downloaded. The file is safetensors (timm's are; torchvision's pickles must be converted by their owner), its
SHA-256 is given with it, and its licence is the user's to state: it is written into the card of what is made from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from marrow_models.errors import BundleError
from marrow_models.networks.lattice import STEPS_PER_UNIT, TOP
from marrow_models.networks.residual import ResNet50Crops

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What torchvision and timm take off and divide by; their pixels reach from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A file of weights to start from."""

    path: str
    sha256: str
    licence: str


def start_from(network: ResNet50Crops, weights: Pretrained) -> None:
    """Put published weights into the trunk of ``network``, in place; its heads stay as they are.

    The networks here see pixel values of another scale, so the first convolution takes the normalisation over.

    Raises
    ------
    BundleError
        The file is missing, is not the one of the digest, is no safetensors file, or is no ResNet-50.
    """
    tensors = _read(weights)
    own = network.trunk.state_dict()
    wanted = {key for key in own if not key.endswith("num_batches_tracked")}
    wrong = sorted(wanted - tensors.keys()) + sorted(
        key for key in wanted & tensors.keys() if tensors[key].shape != own[key].shape
    )
    if wrong:
        raise BundleError(f"{Path(weights.path).name}: not a ResNet-50 as torchvision names it (see {wrong[0]}).")
    if not all(bool(torch.isfinite(tensors[key]).all()) for key in wanted):
        raise BundleError(f"{Path(weights.path).name}: holds values that are not finite.")
    network.trunk.load_state_dict(_for_our_pixels({key: tensors[key].float() for key in wanted}), strict=False)


def _for_our_pixels(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same network for pixels that are divided by ``STEPS_PER_UNIT`` instead of normalised."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    kernel = tensors["conv1.weight"]
    adapted = kernel * (STEPS_PER_UNIT / (TOP * std)).view(1, 3, 1, 1)
    # What the means took off is the same everywhere but at the border: batch normalisation takes it off instead.
    constant = (kernel * (mean / std).view(1, 3, 1, 1)).sum(dim=(1, 2, 3))
    return dict(tensors) | {"conv1.weight": adapted, "bn1.running_mean": tensors["bn1.running_mean"] + constant}


def _read(weights: Pretrained) -> dict[str, Tensor]:
    path = Path(weights.path)
    try:
        data = path.read_bytes()
    except OSError:
        raise BundleError(f"{path}: the weights to start from are not there. Fetch them and give their path.") from None
    if hashlib.sha256(data).hexdigest() != weights.sha256.lower():
        raise BundleError(
            f"{path.name}: not the file of the SHA-256 in the recipe. Fetch it again, or correct the recipe."
        )
    try:
        return load_tensors(data)
    except SafetensorError as error:
        raise BundleError(
            f"{path.name}: not a safetensors file ({error}). Pickles are not loaded, whatever they promise; convert it."
        ) from None
