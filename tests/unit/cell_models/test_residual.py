"""ResNet-50 with exact sums, as every network of a bundle has them."""

import dataclasses

import numpy as np
import pytest
import torch

from marrow_models.classification import CLASS_HEAD, Classifier
from marrow_models.networks.lattice import LatticeReLU, check_exact, fold, round_activations
from marrow_models.networks.loading import load_networks
from marrow_models.networks.residual import ResNet50Crops
from tests.unit.cell_models import factories


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(4)
    return factories.lively(ResNet50Crops({CLASS_HEAD: 3, "nucleus": 2}))


@pytest.fixture(scope="module")
def folded(network):
    return fold(network)


def images(n, side=64):
    return torch.stack([torch.from_numpy(factories.picture(seed, side, side)) for seed in range(n)]).permute(0, 3, 1, 2)


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
        before = network.eval()(images(8).float() / 32)[CLASS_HEAD]
        after = folded(images(8).float())[CLASS_HEAD] / 32
    # Sums of thousands of products leave few bits for each weight, and fifty layers add that up.
    assert np.corrcoef(before.flatten(), after.flatten())[0, 1] > 0.95
    assert after.std() / before.std() == pytest.approx(1, rel=0.2)


def test_each_of_its_activations_is_on_the_lattice(network):
    kinds = [type(module) for module in network.modules()]
    assert torch.nn.ReLU not in kinds
    assert kinds.count(LatticeReLU) > 10


@pytest.mark.slow
def test_a_bundle_of_it_is_read_as_it_was_written(tmp_path, network, folded):
    bundle = factories.bundle(
        tmp_path,
        networks={
            "detector": (factories.heatmap_net(), factories.DETECTOR_DEFINITION),
            "classifier": (
                network,
                {
                    "_target_": "marrow_models.networks.residual.ResNet50Crops",
                    "heads": {CLASS_HEAD: 3, "nucleus": 2},
                },
            ),
        },
        classifier=dataclasses.replace(factories.CLASSIFIER, attributes={"nucleus": ("round", "lobed")}),
    )
    _, classifier = load_networks(bundle)
    crops = images(3, 32).permute(0, 2, 3, 1).contiguous().numpy()
    told = classifier.tell(crops)
    expected = Classifier(folded, classifier.settings).tell(crops)
    assert all(np.array_equal(told[head], expected[head]) for head in (CLASS_HEAD, "nucleus"))
