"""Local contrast, and crops that are sharpened up to what a network was taught with."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from marrow_models.classification import CLASS_HEAD, Classifier
from marrow_models.local_contrast import (
    LARGEST_GAIN,
    local_contrast,
    local_means,
    with_contrast,
    with_least_contrast,
)
from marrow_models.networks.lattice import fold
from tests.unit.cell_models.factories import CLASSIFIER, crop_net, picture

TRIANGLE = np.array([*range(1, 9), *range(7, 0, -1)])
SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def noise(amplitude, n=1, side=64, mean=120, seed=0):
    """Pictures whose pixels are off ``mean`` by so much."""
    off = np.random.default_rng(seed).normal(0, amplitude, (n, 3, side, side))
    return torch.from_numpy((mean + off).round().clip(0, 255).astype(np.uint8))


def meant(image):
    """The means around the pixels of (H, W), times the sum of their weights, as scipy takes them."""
    once = ndimage.correlate1d(image.astype(np.int64), TRIANGLE, axis=0, mode="nearest")
    return ndimage.correlate1d(once, TRIANGLE, axis=1, mode="nearest")


@given(SIDES, st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_means_are_those_of_a_triangle_to_the_last_unit(sides, seed):
    image = np.random.default_rng(seed).integers(0, 256, sides, dtype=np.uint8)
    for kind in (torch.int16, torch.int32):
        found = local_means(torch.from_numpy(image).to(kind)[None, None])[0, 0].numpy()
        assert np.array_equal(found, meant(image))


def test_the_brightest_picture_does_not_overflow():
    white = torch.full((1, 3, 20, 20), 255, dtype=torch.int16)
    assert (local_means(white) == 255 * TRIANGLE.sum() ** 2).all()


def test_local_contrast_is_that_of_the_logarithm_of_green_in_the_middle_of_a_crop():
    images = noise(30, n=3, side=64)
    logs = np.log(images[:, 1, 12:52, 12:52].numpy() + 1.0)
    off = [log - ndimage.correlate(log, np.outer(TRIANGLE, TRIANGLE) / 4096, mode="nearest") for log in logs]
    expected = [np.sqrt((one**2).mean()) for one in off]
    assert local_contrast(images).numpy() == pytest.approx(expected, rel=2e-3)
    other = images.clone()
    other[:, [0, 2]] = 7
    other[:, 1, :12] = 0
    assert torch.equal(local_contrast(other), local_contrast(images))


def test_a_crop_of_one_colour_has_no_contrast_and_stays_as_it_is():
    flat = torch.full((2, 3, 32, 32), 90, dtype=torch.uint8)
    assert (local_contrast(flat) == 0).all()
    assert torch.equal(with_least_contrast(flat, 0.3), flat)


@pytest.mark.parametrize("least", [0.0, 0.05])
def test_a_crop_with_enough_contrast_stays_to_the_last_bit(least):
    sharp = noise(30)
    assert local_contrast(sharp) > 0.1
    assert torch.equal(with_least_contrast(sharp, least), sharp)


@pytest.mark.parametrize(("amplitude", "least"), [(3, 0.05), (6, 0.1), (6, 0.18)])
def test_a_softer_crop_is_sharpened_up_to_the_least(amplitude, least):
    soft = noise(amplitude)
    assert local_contrast(soft) < 0.7 * least
    sharper = with_least_contrast(soft, least)
    assert local_contrast(sharper).item() == pytest.approx(least, rel=0.05)
    assert sharper.double().mean() == pytest.approx(soft.double().mean(), abs=0.5)


def test_no_crop_is_sharpened_beyond_the_largest_gain():
    soft = noise(2)
    sharper = with_least_contrast(soft, 1.0)
    assert (local_contrast(sharper) / local_contrast(soft)).item() == pytest.approx(LARGEST_GAIN, rel=0.05)


def test_pixels_are_those_of_the_plain_formula_rounded():
    soft = noise(5, n=2)
    gain = (0.1 / local_contrast(soft).numpy()).clip(1, LARGEST_GAIN)
    for image, found, by in zip(soft.numpy(), with_least_contrast(soft, 0.1).numpy(), gain, strict=True):
        steps = np.round(16 * (by - 1))
        off = [channel - meant(channel) / 4096 for channel in image]
        assert np.array_equal(found, np.floor(image + steps / 16 * np.stack(off) + 0.5).clip(0, 255))


def test_each_crop_is_sharpened_for_itself():
    images = torch.cat([noise(3), noise(40), noise(8, seed=1)])
    together = with_least_contrast(images, 0.2)
    assert together.dtype == torch.uint8
    for one, found in zip(images, together, strict=True):
        assert torch.equal(with_least_contrast(one[None], 0.2)[0], found)


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.1])
def test_a_part_of_the_contrast_can_be_left(gain):
    images = noise(20, n=2, side=96)
    softer = with_contrast(images.float(), torch.full((2,), gain))
    assert (softer - images).abs().max() < 1e-3 or gain < 1
    now = local_contrast(softer.round())
    # What whole numbers take off is a contrast of its own.
    assert (now / local_contrast(images)).numpy() == pytest.approx(gain, abs=0.02)


def test_a_classifier_looks_at_crops_of_the_least_contrast():
    crops = np.stack([(60 + picture(seed, 32, 32) // 8).astype(np.uint8) for seed in range(5)])
    network = fold(crop_net())
    plain = Classifier(network, CLASSIFIER)
    ours = Classifier(network, dataclasses.replace(CLASSIFIER, least_contrast=0.3))
    sharpened = with_least_contrast(torch.from_numpy(crops).permute(0, 3, 1, 2), 0.3).permute(0, 2, 3, 1)
    assert not np.array_equal(sharpened.numpy(), crops)
    told = ours.tell(crops)[CLASS_HEAD]
    assert np.array_equal(told, plain.tell(np.ascontiguousarray(sharpened.numpy()))[CLASS_HEAD])
    assert not np.array_equal(told, plain.tell(crops)[CLASS_HEAD])
