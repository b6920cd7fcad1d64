"""A training that goes on from a bundle begins with what the bundle says."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from marrow_models.bundle import CLASSIFIER, load_bundle
from marrow_models.classification import CLASS_HEAD
from marrow_models.errors import UserError
from marrow_models.networks.crop import CropNet
from marrow_models.networks.heatmap import HeatmapNet
from marrow_models.networks.lattice import STEPS_PER_UNIT, fold
from marrow_models.networks.lite import LiteCrops
from marrow_models.networks.residual import ResNet50Crops
from marrow_models.networks.unfold import take_over
from marrow_models.training.classifier import ClassifierTraining, train_classifier
from marrow_models.training.crops import CropSet, CropShape
from marrow_models.training.detector import DetectorTraining, train_detector
from marrow_models.training.go_on import Beginning, classifier_from, detector_from
from marrow_models.training.loop import Effort, Run
from marrow_models.training.pictures import MarkedPictures
from tests.unit.cell_models.factories import (
    BLOCKS,
    LABELS,
    PLANES,
    bundle,
    crop_net,
    heatmap_net,
    lively,
    picture,
)

PLAIN = {"planes": (4, 8, 8), "blocks": (1, 1)}
NOTHING = Effort(steps=1, batch=2, learning_rate=1e-12)
"""A step so small that no weight moves."""


def pixels(n=6, side=32):
    return torch.stack([torch.from_numpy(picture(seed, side, side)) for seed in range(n)]).permute(0, 3, 1, 2).float()


def crops(labels=LABELS):
    images = np.stack([picture(seed, 40, 40) for seed in range(8)])
    return CropSet(images, np.arange(8) % len(labels), labels, CropShape(0.25, 32, 4))


@pytest.fixture
def shipped(tmp_path):
    return bundle(tmp_path).path


def said(network, images):
    with torch.no_grad():
        found = fold(network)(images)
    return found if isinstance(found, dict) else dict(enumerate(found))


def seeded(network):
    torch.manual_seed(3)
    return lively(network({CLASS_HEAD: 3}))


@pytest.mark.parametrize(
    ("trained", "anew"),
    [
        (crop_net(), lambda: CropNet({CLASS_HEAD: len(LABELS)}, **PLAIN)),
        (heatmap_net(), lambda: HeatmapNet(1, PLANES, BLOCKS)),
        (seeded(LiteCrops), lambda: LiteCrops({CLASS_HEAD: 3})),
        (seeded(ResNet50Crops), lambda: ResNet50Crops({CLASS_HEAD: 3})),
    ],
    ids=["classifier", "detector", "lite", "resnet50"],
)
@pytest.mark.parametrize("digits", [1, 2])
def test_what_was_folded_and_taken_apart_says_the_same(trained, anew, digits):
    folded, network, images = fold(trained, digits), anew(), pixels()
    take_over(network, folded.state_dict(), [images / STEPS_PER_UNIT], {})
    with torch.no_grad():
        expected = folded(images)
    expected = expected if isinstance(expected, dict) else dict(enumerate(expected))
    for name, found in said(network, images).items():
        # Roundings apart: weights are put on a lattice again, and a step that differs moves others behind it.
        assert (found - expected[name]).abs().max() < 0.1 * expected[name].std() + 1.0
        assert expected[name].std() > 3


def test_a_normalisation_is_set_to_the_pictures_so_that_a_training_goes_on_smoothly():
    network, images = CropNet({CLASS_HEAD: len(LABELS)}, **PLAIN), pixels(32) / STEPS_PER_UNIT
    take_over(network, fold(crop_net()).state_dict(), [images[:16], images[16:]], {})
    with torch.no_grad():
        as_it_is, by_batch = network.eval()(images)[CLASS_HEAD], network.train()(images)[CLASS_HEAD]
    # By the statistics of this very batch as by the running ones.
    assert torch.allclose(as_it_is, by_batch, atol=0.1)
    assert as_it_is.std() > 0.3


def test_weights_begin_as_large_as_in_a_training_from_nothing():
    network, fresh = (CropNet({CLASS_HEAD: len(LABELS)}, **PLAIN) for _ in range(2))
    take_over(network, fold(crop_net()).state_dict(), [pixels() / STEPS_PER_UNIT], {})
    assert float(network.stem.conv.weight.detach().std()) == pytest.approx(
        float(fresh.stem.conv.weight.detach().std()), rel=0.5
    )


def test_labels_are_taken_over_by_their_names(shipped):
    network, images = CropNet({CLASS_HEAD: 3, "size": 2}, **PLAIN), pixels()
    untouched = network.heads["size"].weight.clone()
    before = network.heads[CLASS_HEAD].weight.clone()
    labels = (LABELS[2], "blast", LABELS[0])
    heads = {CLASS_HEAD: labels, "size": ("a", "b")}
    classifier_from(Beginning(str(shipped)), network, [images / STEPS_PER_UNIT], 0.25, heads)
    expected, found = said(crop_net(), images)[CLASS_HEAD], said(network, images)[CLASS_HEAD]
    assert torch.allclose(found[:, [0, 2]], expected[:, [2, 0]], atol=2.0, rtol=0.01)
    assert torch.equal(network.heads[CLASS_HEAD].weight[1], before[1])
    assert torch.equal(network.heads["size"].weight, untouched)


def test_a_classifier_goes_on_from_a_bundle(shipped, tmp_path):
    training = ClassifierTraining(NOTHING, **PLAIN, continue_from=Beginning(str(shipped)))
    images = pixels()
    network = train_classifier(crops(), Run(tmp_path / "run"), training)
    anew = train_classifier(crops(), Run(tmp_path / "anew"), dataclasses.replace(training, continue_from=None))
    expected = said(crop_net(), images)[CLASS_HEAD].softmax(dim=1).argmax(dim=1)
    assert (said(network, images)[CLASS_HEAD].argmax(dim=1) == expected).all()
    assert not torch.allclose(said(anew, images)[CLASS_HEAD], said(network, images)[CLASS_HEAD], atol=5.0)


def test_a_detector_goes_on_from_a_bundle(shipped, tmp_path):
    pictures = MarkedPictures(
        [picture(seed, 64, 64) for seed in range(2)],
        tuple(np.array([[10, 10, 30, 30]], np.float32) for _ in range(2)),
        tuple(np.zeros(1, np.int64) for _ in range(2)),
        tuple(np.zeros((0, 4), np.float32) for _ in range(2)),
        0.5,
    )
    training = DetectorTraining(NOTHING, 64, planes=PLANES, blocks=BLOCKS, continue_from=Beginning(str(shipped)))
    network, images = train_detector(pictures, Run(tmp_path / "run"), training), pixels(4, 64)
    found, expected = said(network, images)[0], said(heatmap_net(), images)[0]
    assert np.corrcoef(found.flatten(), expected.flatten())[0, 1] > 0.98


def test_a_training_that_was_interrupted_goes_on_from_itself_and_not_from_the_bundle(shipped, tmp_path):
    few = ClassifierTraining(Effort(steps=4, batch=4), **PLAIN, continue_from=Beginning(str(shipped)))
    whole = train_classifier(crops(), Run(tmp_path / "whole", every=2), few)

    class Stop(Exception):
        pass

    def stop(step):
        raise Stop

    with pytest.raises(Stop):
        train_classifier(crops(), Run(tmp_path / "run", every=2), few, progress=stop)
    resumed = train_classifier(crops(), Run(tmp_path / "run", every=2), few)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_training_that_began_needs_the_bundle_no_more(shipped, tmp_path):
    training = ClassifierTraining(Effort(steps=2, batch=4), **PLAIN, continue_from=Beginning(str(shipped)))
    first = train_classifier(crops(), Run(tmp_path / "run"), training)
    gone = dataclasses.replace(training, continue_from=Beginning(str(tmp_path / "gone")))
    again = train_classifier(crops(), Run(tmp_path / "run"), gone)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("planes", "blocks"),
    [((4, 8, 16), (1, 1)), ((4, 8, 8), (2, 1)), ((4, 8), (1,))],
    ids=["wider", "longer", "shorter"],
)
def test_a_bundle_of_another_shape_says_which_layer_differs_and_what_to_set(shipped, tmp_path, planes, blocks):
    training = ClassifierTraining(NOTHING, planes=planes, blocks=blocks, continue_from=Beginning(str(shipped)))
    with pytest.raises(UserError, match=r"toy 0\.1\.0 does not fit: .*layer stages.*Set network, planes"):
        train_classifier(crops(), Run(tmp_path / "run"), training)


def test_another_bundle_than_was_meant_is_refused(shipped, tmp_path):
    meant = Beginning(str(shipped), load_bundle(shipped).files[CLASSIFIER].upper())
    training = ClassifierTraining(NOTHING, **PLAIN, continue_from=meant)
    train_classifier(crops(), Run(tmp_path / "run"), training)
    another = dataclasses.replace(training, continue_from=Beginning(str(shipped), "0" * 64))
    with pytest.raises(UserError, match=r"toy 0\.1\.0 is not the one of the SHA-256 in the recipe"):
        train_classifier(crops(), Run(tmp_path / "other"), another)


def test_cells_of_another_size_are_refused(shipped):
    network = CropNet({CLASS_HEAD: 3}, **PLAIN)
    with pytest.raises(UserError, match=r"reads 0\.25 um/px and the recipe 0\.1: cells would be of another size"):
        classifier_from(Beginning(str(shipped)), network, [], 0.1, {CLASS_HEAD: LABELS})
    with pytest.raises(UserError, match=r"reads 0\.5 um/px and the recipe 0\.25"):
        detector_from(Beginning(str(shipped)), HeatmapNet(1, PLANES, BLOCKS), [], 0.25)


def test_without_a_label_in_common_the_trunk_is_taken_over_alone(shipped):
    network, images = CropNet({CLASS_HEAD: 2}, **PLAIN), pixels() / STEPS_PER_UNIT
    before = network.heads[CLASS_HEAD].weight.clone()
    classifier_from(Beginning(str(shipped)), network, [images], 0.25, {CLASS_HEAD: ("blast", "mitosis")})
    assert torch.equal(network.heads[CLASS_HEAD].weight, before)
    trunk, expected = fold(network), fold(crop_net())
    with torch.no_grad():
        found = trunk.stages(trunk.stem(pixels()))
        assert torch.allclose(found, expected.stages(expected.stem(pixels())), atol=2.0)


def test_a_detector_of_more_kinds_keeps_the_one_that_it_knows(shipped):
    network, images = HeatmapNet(3, PLANES, BLOCKS), pixels(4, 64)
    others = network.centre.weight[1:].clone()
    detector_from(Beginning(str(shipped)), network, [images / STEPS_PER_UNIT], 0.5)
    found, expected = said(network, images)[0][:, 0], said(heatmap_net(), images)[0][:, 0]
    assert np.corrcoef(found.flatten(), expected.flatten())[0, 1] > 0.99
    assert torch.equal(network.centre.weight[1:], others)


def test_a_layer_without_weights_stays_one():
    trained = copy.deepcopy(crop_net())
    torch.nn.init.zeros_(trained.stages[0][0].conv2.weight)
    network, images = CropNet({CLASS_HEAD: len(LABELS)}, **PLAIN), pixels()
    take_over(network, fold(trained).state_dict(), [images / STEPS_PER_UNIT], {})
    assert all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values())
    assert torch.allclose(said(network, images)[CLASS_HEAD], said(trained, images)[CLASS_HEAD], atol=2.0, rtol=0.01)


def test_without_a_picture_nothing_can_be_measured():
    with pytest.raises(ValueError, match="no image"):
        take_over(CropNet({CLASS_HEAD: len(LABELS)}, **PLAIN), fold(crop_net()).state_dict(), [], {})
