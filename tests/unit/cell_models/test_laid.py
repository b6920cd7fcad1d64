"""The ways to lay a crop down, and a classifier that looks at several of them."""

import dataclasses

import numpy as np
import pytest
import torch

from marrow_models.classification import CLASS_HEAD, VIEWS, Classifier, laid
from marrow_models.networks.lattice import fold
from tests.unit.cell_models.factories import CLASSIFIER, crop_net, picture


def crops(n=5):
    return np.stack([picture(seed, 32, 32) for seed in range(n)])


def told(images, **changes):
    return Classifier(fold(crop_net()), dataclasses.replace(CLASSIFIER, **changes)).tell(images)[CLASS_HEAD]


def test_there_are_eight_ways_to_lay_a_square_down_and_each_is_another():
    image = torch.arange(2 * 3 * 4 * 4).view(2, 3, 4, 4)
    lays = [laid(image, view) for view in range(VIEWS)]
    assert torch.equal(lays[0], image)
    assert len({tuple(lay.flatten().tolist()) for lay in lays}) == VIEWS == 8
    turned = {tuple(image.rot90(k, (2, 3)).flatten().tolist()) for k in range(4)}
    turned |= {tuple(image.flip(3).rot90(k, (2, 3)).flatten().tolist()) for k in range(4)}
    assert {tuple(lay.flatten().tolist()) for lay in lays} == turned


@pytest.mark.parametrize("view", range(VIEWS))
def test_laying_down_moves_pixels_and_changes_none(view):
    image = torch.rand(2, 3, 6, 6)
    lay = laid(image, view)
    assert lay.shape == image.shape
    assert torch.equal(lay.flatten(2).sort(dim=2).values, image.flatten(2).sort(dim=2).values)
    assert lay[0, 0, 0, 0] in (image[0, 0, 0, 0], image[0, 0, 0, -1], image[0, 0, -1, 0], image[0, 0, -1, -1])


def test_with_all_views_it_does_not_matter_how_a_cell_lies():
    for view in range(VIEWS):
        turned = laid(torch.from_numpy(crops()).permute(0, 3, 1, 2), view).permute(0, 2, 3, 1).contiguous().numpy()
        assert np.array_equal(told(turned, views=VIEWS), told(crops(), views=VIEWS))
    assert not np.array_equal(told(turned, views=1), told(crops(), views=1))


@pytest.mark.parametrize("views", [1, 2, 4, 8])
def test_the_scores_of_the_views_are_averaged(views):
    classifier = Classifier(fold(crop_net()), dataclasses.replace(CLASSIFIER, temperature=1.0))
    images = torch.from_numpy(crops()).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        scores = [classifier.network(laid(images, view).clone())[CLASS_HEAD] / 32 for view in range(views)]
    expected = torch.stack(scores).double().mean(dim=0).softmax(dim=1)
    assert told(crops(), views=views, temperature=1.0) == pytest.approx(expected.numpy(), abs=2e-6)
