"""EfficientNet-Lite0 with exact sums, as every network of a bundle has them."""

import numpy as np
import pytest
import torch

from marrow_models.classification import CLASS_HEAD
from marrow_models.networks.lattice import STEPS_PER_UNIT, TOP, LatticeLinear, check_exact, fold, round_activations
from marrow_models.networks.lite import LiteCrops
from tests.unit.cell_models import factories


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(4)
    return factories.lively(LiteCrops({CLASS_HEAD: 3, "nucleus": 2}))


@pytest.fixture(scope="module")
def folded(network):
    return fold(network)


def images(n, side=64):
    return torch.stack([torch.from_numpy(factories.picture(seed, side, side)) for seed in range(n)]).permute(0, 3, 1, 2)


def test_it_has_the_weights_of_an_efficientnet_lite0(network):
    trunk = sum(p.numel() for name, p in network.named_parameters() if not name.startswith("heads."))
    assert trunk == 4_652_008 - 1_281_000  # the published total less the thousand classes of ImageNet


def test_its_sums_are_exact_once_folded(folded):
    check_exact(folded)
    with torch.inference_mode():
        together = folded(images(5).float())
        alone = [folded(images(5)[i : i + 1].float()) for i in range(5)]
    for head, score in together.items():
        assert torch.equal(score, torch.cat([part[head] for part in alone]))


def test_folding_changes_its_scores_by_the_rounding_only(network, folded):
    round_activations(network, on=True)
    with torch.inference_mode():
        before = network.eval()(images(8).float() / STEPS_PER_UNIT)[CLASS_HEAD]
        after = folded(images(8).float())[CLASS_HEAD] / STEPS_PER_UNIT
    # Fifty layers of random weights add up what the rounding of each leaves.
    assert np.corrcoef(before.flatten(), after.flatten())[0, 1] > 0.9
    assert after.std() / before.std() == pytest.approx(1, rel=0.2)


def test_half_the_side_is_left_after_each_halving_stage(network):
    with torch.inference_mode():
        assert network.stem(images(1).float()).shape[-1] == 32
        assert network.blocks(network.stem(images(1).float())).shape == (1, 320, 2, 2)


def test_values_between_bottlenecks_keep_their_sign_and_are_whole_steps():
    x = torch.tensor([-300.0, -255.4, -1.6, 0.4, 7.5, 300.0]) / STEPS_PER_UNIT
    trained = LatticeLinear()(x.clone().requires_grad_()).detach() * STEPS_PER_UNIT
    with torch.inference_mode():
        inferred = LatticeLinear()(x.clone()) * STEPS_PER_UNIT
    assert trained.tolist() == inferred.tolist() == [-TOP, -TOP, -2, 0, 8, TOP]


def test_values_between_bottlenecks_are_clipped_to_the_range_of_the_steps_early_in_a_training():
    linear = LatticeLinear()
    linear.rounds = False
    assert linear(torch.tensor([-99.0, -1.01, 99.0])).tolist() == pytest.approx([-TOP / 32, -1.01, TOP / 32])
