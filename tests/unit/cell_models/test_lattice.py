import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from marrow_models.errors import BundleError
from marrow_models.networks.lattice import (
    EXACT_LIMIT,
    LARGEST_DIGIT,
    LEAST_INPUTS,
    STEPS_PER_UNIT,
    TOP,
    LatticeReLU,
    check_exact,
    fold,
    folded_structure,
    lowest_bit,
    put_on_lattice,
)
from tests.unit.cell_models.factories import crop_net, heatmap_net, picture


def image_of(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float().contiguous(memory_format=torch.channels_last)


def test_activations_are_whole_steps_between_none_and_all_of_them():
    x = torch.linspace(-3, 12, 1001)
    with torch.no_grad():
        steps = LatticeReLU()(x.clone()) * STEPS_PER_UNIT
    assert torch.equal(steps, steps.round())
    assert (steps.min(), steps.max()) == (0, TOP)
    inside = (x > 0) & (x < TOP / STEPS_PER_UNIT)
    assert (steps[inside] / STEPS_PER_UNIT - x[inside]).abs().max() <= 0.5 / STEPS_PER_UNIT


def test_training_and_inference_give_the_same_activations():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 4
    with torch.no_grad():
        inference = LatticeReLU()(x.clone())
    assert torch.equal(LatticeReLU()(x.clone().requires_grad_()).detach(), inference)


def test_the_gradient_passes_rounding_and_stops_at_the_clips():
    x = torch.tensor([-1.0, 0.1, 3.33, 9.0], requires_grad=True)
    LatticeReLU()(x).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_training_leaves_its_input_alone():
    x = torch.randn(10, requires_grad=True)
    before = x.detach().clone()
    LatticeReLU()(x)
    assert torch.equal(x.detach(), before)


def test_every_relu_of_a_network_is_put_on_the_lattice():
    network = put_on_lattice(nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True))))
    assert sum(isinstance(m, LatticeReLU) for m in network.modules()) == 2
    assert not any(isinstance(m, nn.ReLU) for m in network.modules())


@pytest.mark.parametrize("network", [heatmap_net(), crop_net()], ids=["heatmap", "crop"])
def test_a_folded_network_says_what_the_trained_one_said(network):
    image = image_of(picture(3, 64, 64))
    with torch.no_grad():
        trained, folded = network(image / STEPS_PER_UNIT), fold(network)(image)
    if isinstance(trained, dict):
        trained, folded = tuple(trained.values()), tuple(folded.values())
    for said, says in zip(trained, folded, strict=True):
        # Weights are rounded to about 1 in 500; now and then that moves an activation by a step.
        difference = (says / STEPS_PER_UNIT - said).abs()
        assert said.std() > 0.1
        assert difference.mean() < 0.08 * said.std()
        assert difference.max() < 0.5 * said.std()


def test_folding_leaves_the_trained_network_as_it_was():
    network = heatmap_net()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fold(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_folded_network_has_no_normalisation_and_the_keys_of_its_structure():
    network = heatmap_net()
    folded = fold(network)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert folded.state_dict().keys() == folded_structure(network).state_dict().keys()


def test_a_normalisation_that_follows_no_convolution_is_refused():
    with pytest.raises(TypeError, match="follows no convolution"):
        fold(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    inputs=st.integers(1, 200),
    size=st.floats(-12, 8),
    bias=st.floats(-12, 8),
)
def test_folding_makes_the_sums_of_any_weights_exact(seed, inputs, size, bias):
    rng = torch.Generator().manual_seed(seed)
    layer = nn.Linear(inputs, 5)
    layer.weight.data = torch.randn(5, inputs, generator=rng) * 2**size
    layer.bias.data = torch.randn(5, generator=rng) * 2**bias
    exact = fold(layer)
    steps = torch.randint(0, TOP + 1, (64, inputs), generator=rng).float()
    order = torch.randperm(inputs, generator=rng)
    with torch.no_grad():
        one_way = exact(steps)
        exact.weight.copy_(exact.weight[:, order])
        another = exact(steps[:, order])
    assert torch.equal(one_way, another)
    # The same sum in a wider type: nothing at all was rounded.
    wide = steps[:, order].double() @ exact.weight.double().T + exact.bias.double()
    assert torch.equal(one_way.double(), wide)


def test_rounding_a_weight_costs_less_than_the_sum_allows():
    layer = nn.Linear(300, 8)
    exact = fold(layer)
    largest = layer.weight.abs().sum(dim=1) * TOP + layer.bias.abs() * STEPS_PER_UNIT
    assert ((exact.weight - layer.weight).abs().amax(dim=1) <= 1.01 * largest / EXACT_LIMIT).all()


def test_a_channel_of_zeros_stays_zero():
    layer = nn.Linear(4, 2)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    assert not fold(layer).weight.any()


def test_weights_that_were_not_folded_are_refused():
    network = folded_structure(heatmap_net())
    with pytest.raises(BundleError, match="would be rounded"):
        check_exact(network)


@pytest.mark.parametrize("factor", [1 + 2**-20, 0.7123])
def test_one_weight_off_the_lattice_is_found(factor):
    network = fold(heatmap_net())
    weight = network.trunk.conv.weight
    largest = int(weight.abs().argmax())
    with torch.no_grad():
        weight.view(-1)[largest] *= factor
    with pytest.raises(BundleError, match=r"trunk\.conv"):
        check_exact(network)


def test_a_layer_without_bias_is_refused():
    with pytest.raises(BundleError, match="no bias"):
        check_exact(nn.Sequential(nn.Conv2d(1, 1, 1, bias=False)))


@settings(max_examples=15, deadline=None)
@given(
    left=st.integers(0, 6),
    top=st.integers(0, 6),
    width=st.integers(16, 22),
    height=st.integers(16, 22),
    batch=st.integers(1, 5),
    threads=st.sampled_from([1, 2]),
    last=st.booleans(),
)
def test_what_the_detector_says_of_a_place_does_not_depend_on_the_tile(left, top, width, height, batch, threads, last):
    network = fold(heatmap_net())
    whole = picture(1, 240, 240)
    rows, columns = slice(8 * top, 8 * (top + height)), slice(8 * left, 8 * (left + width))
    before = torch.get_num_threads()
    format_ = torch.channels_last if last else torch.contiguous_format
    tile = image_of(whole[rows, columns]).repeat(batch, 1, 1, 1).contiguous(memory_format=format_)
    with torch.inference_mode():
        reference = network(image_of(whole))
        torch.set_num_threads(threads)
        said = network(tile)
        torch.set_num_threads(before)
    reach = network.reach_px // 4 + 1
    for expected, given_ in zip(reference, said, strict=True):
        part = expected[0, :, 2 * top : 2 * (top + height), 2 * left : 2 * (left + width)]
        inner = (slice(None), slice(reach, -reach), slice(reach, -reach))
        assert given_[0][inner].numel() > 0
        for one in given_:
            assert torch.equal(one[inner], part[inner])


def test_a_crop_is_judged_alike_in_every_batch():
    network = fold(crop_net())
    crops = torch.cat([image_of(picture(seed, 48, 48)) for seed in range(9)])
    with torch.inference_mode():
        together = network(crops)["cell_class"]
        alone = torch.cat([network(crop[None])["cell_class"] for crop in crops])
        turned = network(crops.flip(0))["cell_class"].flip(0)
    assert np.array_equal(together, alone)
    assert np.array_equal(together, turned)


@given(seed=st.integers(0, 10_000), inputs=st.integers(LEAST_INPUTS, 600), size=st.floats(-8, 4), bias=st.floats(-8, 4))
def test_one_digit_holds_any_weights_and_their_sums_stay_exact(seed, inputs, size, bias):
    rng = torch.Generator().manual_seed(seed)
    layer = nn.Conv2d(inputs, 3, 1)
    layer.weight.data = torch.randn(3, inputs, 1, 1, generator=rng) * 2**size
    layer.bias.data = torch.randn(3, generator=rng) * 2**bias
    exact = fold(layer, weight_digits=1)  # proves that no sum is rounded
    flat, before = exact.weight.double().flatten(1), layer.weight.detach().double().flatten(1)
    unit = lowest_bit(flat).amin(dim=1, keepdim=True)
    assert bool((flat.abs() / unit <= LARGEST_DIGIT).all())
    largest = before.abs().amax(dim=1, keepdim=True)
    sum_allows = 1.01 * (before.abs().sum(dim=1) * TOP + layer.bias.detach().abs() * STEPS_PER_UNIT) / EXACT_LIMIT
    assert bool(((flat - before).abs() <= largest / LARGEST_DIGIT + 2 * sum_allows[:, None]).all())
