import dataclasses
import hashlib

import pytest
import torch
from monai.networks.nets.resnet import resnet50
from safetensors.torch import save

from marrow_models.errors import BundleError
from marrow_models.networks.lattice import STEPS_PER_UNIT, round_activations
from marrow_models.networks.pretrained import IMAGENET_MEAN, IMAGENET_STD, Pretrained, start_from
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
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
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
