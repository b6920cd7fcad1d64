import dataclasses
import hashlib

import pytest
import torch
from monai.networks.nets.resnet import resnet50
from safetensors.torch import save
from torch.nn import functional

from marrow_models.errors import BundleError
from marrow_models.networks.lattice import STEPS_PER_UNIT, round_activations
from marrow_models.networks.lite import STAGES, LiteCrops
from marrow_models.networks.pretrained import LITE0_CUT, RESNET50, Pretrained, start_from
from marrow_models.networks.residual import ResNet50Crops


@pytest.fixture(scope="module")
def published():
    """A ResNet-50 with the names and the pixel scale that torchvision uses, and running means that are not zero."""
    torch.manual_seed(1)
    network = resnet50(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, num_classes=10)
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 64, 64))
    return network.eval()


@pytest.fixture
def stored(tmp_path, published):
    def store(**changes):
        data = save({**published.state_dict(), **changes})
        (tmp_path / "resnet50.safetensors").write_bytes(data)
        return Pretrained(str(tmp_path / "resnet50.safetensors"), hashlib.sha256(data).hexdigest(), "BSD-3-Clause")

    return store


@pytest.fixture
def network():
    return ResNet50Crops({"cell_class": 3}).eval()


def test_our_pixels_give_the_features_that_normalised_pixels_gave(published, stored, network):
    start_from(network, stored())
    round_activations(network, on=False)
    pixels = torch.randint(0, 256, (2, 3, 96, 96)).float()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) / 255 for values in (RESNET50.mean, RESNET50.std))
    with torch.no_grad():
        theirs = published.bn1(published.conv1((pixels / 255 - mean) / std))
        ours = network.trunk.bn1(network.trunk.conv1(pixels / STEPS_PER_UNIT))
    assert torch.allclose(ours[:, :, 3:-3, 3:-3], theirs[:, :, 3:-3, 3:-3], atol=1e-3)


def test_the_heads_stay_as_they_are(stored, network):
    before = {name: value.clone() for name, value in network.heads.state_dict().items()}
    start_from(network, stored())
    assert all(torch.equal(value, before[name]) for name, value in network.heads.state_dict().items())


def test_another_file_than_that_of_the_digest_is_refused(stored, network):
    weights = dataclasses.replace(stored(), sha256="0" * 64)
    with pytest.raises(BundleError, match=r"resnet50\.safetensors: not the file of the SHA-256"):
        start_from(network, weights)


def test_a_missing_file_is_named(tmp_path, network):
    with pytest.raises(BundleError, match="not there"):
        start_from(network, Pretrained(str(tmp_path / "gone.safetensors"), "0" * 64, "unknown"))


def test_a_pickle_is_refused_unread(tmp_path, network):
    data = b"\x80\x04\x95cos\nsystem\n"
    (tmp_path / "resnet50.pth").write_bytes(data)
    with pytest.raises(BundleError, match="Pickles are not loaded"):
        start_from(network, Pretrained(str(tmp_path / "resnet50.pth"), hashlib.sha256(data).hexdigest(), "unknown"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, r"conv1\.weight"),
        ({"layer1.0.conv1.weight": torch.full((64, 64, 1, 1), torch.nan)}, "not finite"),
    ],
)
def test_what_is_no_resnet50_is_refused(stored, network, changes, message):
    with pytest.raises(BundleError, match=message):
        start_from(network, stored(**changes))


NORM = ("running_mean", "running_var", "weight", "bias")


class PublishedLite:
    """EfficientNet-Lite0 by its published names, written down from the paper's table, not from our network."""

    def __init__(self, seed):
        self._random = torch.Generator().manual_seed(seed)
        self.weights = {}
        self._norm("_bn0", self._kernel("_conv_stem", 32, 3, 3))
        inputs, number = 32, 0
        for expansion, channels, count, _, kernel in STAGES:
            for _ in range(count):
                block, wide = f"_blocks.{number}.", inputs * expansion
                if expansion > 1:
                    self._norm(block + "_bn0", self._kernel(block + "_expand_conv", wide, inputs, 1))
                self._norm(block + "_bn1", self._kernel(block + "_depthwise_conv", wide, 1, kernel))
                self._norm(block + "_bn2", self._kernel(block + "_project_conv", channels, wide, 1))
                inputs, number = channels, number + 1
        self._norm("_bn1", self._kernel("_conv_head", 1280, inputs, 1))

    def _kernel(self, name, outputs, inputs, size):
        spread = (2 / (inputs * size * size)) ** 0.5
        self.weights[f"{name}.weight"] = torch.randn(outputs, inputs, size, size, generator=self._random) * spread
        return outputs

    def _norm(self, name, channels):
        for part, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
            self.weights[f"{name}.{part}"] = torch.rand(channels, generator=self._random) + low

    def _apply(self, x, conv, norm, stride=1, depthwise=False, around=0.0, cut=True):
        kernel = self.weights[f"{conv}.weight"]
        pad = kernel.shape[-1] - stride if kernel.shape[-1] > 1 else 0
        x = functional.pad(x, (pad // 2, pad - pad // 2) * 2, value=around)
        x = functional.conv2d(x, kernel, stride=stride, groups=len(kernel) if depthwise else 1)
        mean, var, gamma, beta = (
            self.weights[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
        )
        x = functional.batch_norm(x, mean, var, gamma, beta, eps=1e-3)
        return functional.relu6(x) if cut else x

    def features(self, pixels):
        """Of pixels from 0 to 255; what lies around the picture is black, as it is for our networks."""
        x = self._apply((pixels - 127) / 128, "_conv_stem", "_bn0", 2, around=-127 / 128)
        number = 0
        for expansion, _, count, stride, _ in STAGES:
            for index in range(count):
                block, before = f"_blocks.{number}.", x
                if expansion > 1:
                    x = self._apply(x, block + "_expand_conv", block + "_bn0")
                x = self._apply(x, block + "_depthwise_conv", block + "_bn1", stride if index == 0 else 1, True)
                x = self._apply(x, block + "_project_conv", block + "_bn2", cut=False)
                x = x + before if before.shape == x.shape else x
                number += 1
        return self._apply(x, "_conv_head", "_bn1")


@pytest.fixture(scope="module")
def lite():
    return PublishedLite(seed=2)


@pytest.fixture
def lite_file(tmp_path, lite):
    data = save(lite.weights)
    (tmp_path / "lite0.safetensors").write_bytes(data)
    return Pretrained(str(tmp_path / "lite0.safetensors"), hashlib.sha256(data).hexdigest(), "Apache-2.0")


def test_a_lite_network_gives_the_features_that_its_published_weights_gave(lite, lite_file):
    network = LiteCrops({"cell_class": 3}).eval()
    start_from(network, lite_file)
    round_activations(network, on=False)
    pixels = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(3)).float()
    with torch.no_grad():
        theirs = lite.features(pixels)
        ours = network.top(network.blocks(network.stem(pixels / STEPS_PER_UNIT))) / LITE0_CUT
    assert theirs.std() > 0.1
    assert torch.allclose(ours, theirs, atol=2e-3)


def test_weights_of_another_network_are_refused_by_the_name_that_is_missing(lite_file, network):
    with pytest.raises(BundleError, match=r"lite0\.safetensors: not a ResNet-50 as torchvision names it \(see bn1"):
        start_from(network, lite_file)
