"""Networks in digits say bit for bit what the float32 networks say, and stay away where they could not."""

import pytest
import torch
from torch import nn

from marrow_models.bundle import load_bundle, shipped_bundles
from marrow_models.classification import Classifier
from marrow_models.detection import Detector
from marrow_models.networks import digits
from marrow_models.networks.crop import CropNet
from marrow_models.networks.digits import ByteReLU, DigitConv, digits_of, fast_where_equal, in_digits
from marrow_models.networks.lattice import LatticeReLU, fold
from marrow_models.networks.lite import LiteCrops
from marrow_models.networks.loading import load_networks
from marrow_models.networks.residual import ResNet50Crops
from tests.unit.cell_models.factories import heatmap_net, lively

needs_instructions = pytest.mark.skipif(not digits.has_instructions(), reason="no eight-bit instructions here")


def plain_networks(name, monkeypatch):
    """The float32 networks of a bundle."""
    from marrow_models.networks import loading

    monkeypatch.setattr(loading, "fast_where_equal", lambda network: network)
    loading._load.cache_clear()
    try:
        return load_networks(load_bundle(name))
    finally:
        loading._load.cache_clear()


def pictures(count, side, seed=0, low=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(low, 256, (count, 3, side, side), generator=draw).float()


def outputs(said):
    return list(said.values()) if isinstance(said, dict) else list(said)


def agree(one, other, images):
    with torch.inference_mode():
        expected, found = outputs(one(images.clone())), outputs(other(images.clone()))
    return len(expected) == len(found) and all(map(torch.equal, expected, found))


@needs_instructions
@pytest.mark.parametrize("name", shipped_bundles())
@pytest.mark.parametrize("low", [0, 250], ids=["any", "bright"])
def test_shipped_networks_agree_bit_for_bit(name, low, monkeypatch):
    detector, classifier = plain_networks(name, monkeypatch)
    assert agree(detector.network, in_digits(detector.network), pictures(1, 264, low=low))
    side = classifier.settings.crop_px
    assert agree(classifier.network, in_digits(classifier.network), pictures(9, side, low=low))


@needs_instructions
@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("threads", [1, 2])
def test_neither_batch_nor_threads_show(batch, threads):
    network = fold(lively(CropNet({"cell_class": 5}, planes=(8, 16, 24, 32))))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert agree(network, in_digits(network), pictures(batch, 48, seed=batch))
    finally:
        torch.set_num_threads(before)


@needs_instructions
def test_a_loaded_bundle_uses_them():
    for name in shipped_bundles():
        for part in load_networks(load_bundle(name)):
            assert any(isinstance(module, DigitConv) for module in part.network.modules())


@needs_instructions
@pytest.mark.parametrize("largest", [127, 32639])
def test_one_digit_or_two(largest):
    layer = nn.Conv2d(8, 4, 3, padding=1)
    draw = torch.Generator().manual_seed(largest)
    with torch.no_grad():
        # Few enough weights that the sums stay whole.
        layer.weight.zero_()
        layer.weight[:, :2, 1, 1] = torch.randint(-largest, largest + 1, (4, 2), generator=draw) * 2.0**-9
        layer.weight[:, 2, 0, 0] = 2.0**-9
        layer.bias.copy_(torch.tensor([-3.5, 0.0, 2.0**-9, 17.0]))
    steps = torch.randint(0, 256, (2, 8, 11, 13), generator=draw, dtype=torch.uint8)
    fast = DigitConv(layer)
    assert fast.digits == (1 if largest == 127 else 2)
    with torch.inference_mode():
        assert torch.equal(fast(steps), layer(steps.float()))


def test_bytes_are_rounded_half_to_even_and_cut():
    halves = torch.arange(-600, 1200) / 2
    near = torch.cat([torch.nextafter(halves, torch.tensor(side)) for side in (-1e9, 1e9)])
    values = torch.cat([halves, near, torch.tensor([-1e30, 1e30, -0.0])])
    assert torch.equal(ByteReLU()(values.clone()).float(), LatticeReLU(1)(values.clone().requires_grad_()).detach())
    assert torch.equal(ByteReLU()(values.clone()).float(), values.round().clamp(0, 255))


def test_digits_are_the_weights():
    draw = torch.Generator().manual_seed(1)
    weight = torch.randint(-32639, 32640, (6, 5, 3, 3), generator=draw) * 2.0**-14
    weight[2] = 0
    weight[3] *= 2.0**5
    high, low, unit = digits_of(weight)
    assert high.dtype == low.dtype == torch.int8
    again = (256 * high.double() + low.double()) * unit.double().view(-1, 1, 1, 1)
    assert torch.equal(again, weight.double())


@pytest.mark.parametrize("value", [32640.0, -32897.0])
def test_what_needs_three_digits_is_refused(value):
    weight = torch.ones(1, 2, 1, 1)
    weight[0, 0] = value
    with pytest.raises(ValueError, match="two digits"):
        digits_of(weight)


@needs_instructions
def test_a_layer_of_three_digits_keeps_the_network_in_float32():
    network = fold(heatmap_net())
    with torch.no_grad():
        network.lateral.conv.weight[0, 0] = 40000.0
        network.lateral.conv.weight[0, 1] = 1.0
    assert fast_where_equal(network) is network


@needs_instructions
def test_values_of_either_sign_keep_the_network_in_float32():
    network = fold(lively(LiteCrops({"cell_class": 3})))
    assert fast_where_equal(network, 32) is network


@needs_instructions
def test_a_network_of_another_shape_agrees_or_stays():
    network = fold(lively(ResNet50Crops({"cell_class": 3})))
    assert agree(network, fast_where_equal(network), pictures(2, 64, seed=4))


def test_without_the_instructions_the_network_stays(monkeypatch):
    monkeypatch.setattr(digits, "has_instructions", lambda: False)
    network = fold(heatmap_net())
    assert fast_where_equal(network) is network


@needs_instructions
def test_a_library_that_adds_another_way_is_noticed(monkeypatch):
    def off_by_one(self, steps):
        return plain(self, steps) + 1.0

    plain = DigitConv.forward
    monkeypatch.setattr(DigitConv, "forward", off_by_one)
    network = fold(lively(CropNet({"cell_class": 3}, planes=(8, 8, 8, 8), blocks=(1, 1, 1))))
    assert fast_where_equal(network) is network


@needs_instructions
@pytest.mark.slow
def test_a_slide_has_the_same_cells(tmp_path, monkeypatch):
    """Detector and classifier of the phantom's bundle on a drawn slide, each path on its own grid of tiles."""
    import numpy as np

    from marrow_models.phantom.night import SlideScale, make_phantom
    from marrow_models.pyramid.ingest import ingest_slide
    from marrow_models.pyramid.store import Pyramid
    from marrow_models.records import Rect

    scale = SlideScale(1500, 1500, cells=(60, 60))
    night = make_phantom(tmp_path / "night", seed=8, patients=1, slides_per_patient=1, scale=scale)
    file = tmp_path / "night" / night.slides[0].file
    ingest_slide(file, [file], tmp_path / "s.ome.zarr", um_per_px=None)
    slide = Pyramid.open(tmp_path / "s.ome.zarr")
    detector, classifier = plain_networks("phantom", monkeypatch)
    fast_detector = Detector(in_digits(detector.network), detector.settings)
    fast_classifier = Classifier(in_digits(classifier.network), classifier.settings)
    expected = detector.detect(slide, Rect(0, 0, 750, 750), tile_px=512)
    found = fast_detector.detect(slide, Rect(0, 0, 750, 750), tile_px=200, shift_px=77)
    assert len(expected) > 30
    for name in ("x", "y", "width", "height", "score", "kind"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    um = detector.settings.um_per_px / 16
    said = classifier.classify(slide, expected.x * um, expected.y * um, batch_size=64)
    fast = fast_classifier.classify(slide, expected.x * um, expected.y * um, batch_size=5)
    np.testing.assert_array_equal(fast.probabilities, said.probabilities)


@needs_instructions
def test_a_network_folded_to_one_digit_is_computed_with_one_and_says_nearly_the_same():
    network = lively(CropNet({"cell_class": 5}, planes=(8, 16, 24, 32)))
    exact, short, images = fold(network), fold(network, weight_digits=1), pictures(6, 48)
    fast = in_digits(short)
    assert {module.digits for module in fast.modules() if isinstance(module, DigitConv)} == {1}
    assert agree(short, fast, images)
    with torch.inference_mode():
        expected, found = exact(images)["cell_class"], short(images)["cell_class"]
    assert not torch.equal(expected, found)
    assert (expected - found).abs().max() < 0.15 * expected.std()
