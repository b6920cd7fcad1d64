import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marrow_models.classification import CLASS_HEAD
from marrow_models.errors import UserError
from marrow_models.networks.crop import CropNet
from marrow_models.networks.lite import LiteCrops
from marrow_models.networks.residual import ResNet50Crops
from marrow_models.training.augment import Variety
from marrow_models.training.classifier import (
    NETWORKS,
    ClassifierTraining,
    _chances,
    _loss,
    _mixed,
    _targets,
    heads_of,
    train_classifier,
)
from marrow_models.training.crops import MISSING, CropSet, CropShape
from marrow_models.training.loop import Effort, Run
from tests.unit.cell_models.smears import HERE, THERE, smear

TRAINING = ClassifierTraining(Effort(steps=4, batch=6), planes=(4, 8, 8), blocks=(1, 1), label_smoothing=0.0)
NUCLEUS, VACUOLES = ("round", "lobed", "bilobed"), ("no", "yes")


def crops(classes=(0, 0, 0, 1, 1, 2), *, votes=None, nucleus=None, vacuoles=None):
    n = len(classes)
    images = np.random.default_rng(0).integers(0, 256, (n, 24, 24, 3), np.uint8)
    unknown = (MISSING,) * n
    return CropSet(
        images,
        np.asarray(classes),
        ("a", "b", "c"),
        CropShape(0.25, 16, 4),
        None if votes is None else np.asarray(votes, np.float32),
        {"nucleus": np.asarray(nucleus or unknown), "vacuoles": np.asarray(vacuoles or unknown)},
        {"nucleus": NUCLEUS, "vacuoles": VACUOLES},
    )


def all_of(crop_set):
    return np.arange(len(crop_set))


def test_there_is_a_head_for_the_class_and_one_for_each_attribute():
    assert heads_of(crops()) == {CLASS_HEAD: 3, "nucleus": 3, "vacuoles": 2}
    for name, make in NETWORKS.items():
        network = make(heads_of(crops()), TRAINING).eval()
        assert isinstance(network, {"CropNet": CropNet, "LiteCrops": LiteCrops, "ResNet50Crops": ResNet50Crops}[name])
        with torch.inference_mode():
            scores = network(torch.zeros(2, 3, 32, 32))
        assert {head: tuple(score.shape) for head, score in scores.items()} == {
            CLASS_HEAD: (2, 3),
            "nucleus": (2, 3),
            "vacuoles": (2, 2),
        }


def test_each_head_is_told_what_is_known_and_nothing_of_the_rest():
    some = crops((0, MISSING, 2), nucleus=(2, 1, MISSING), vacuoles=(MISSING, MISSING, 1))
    targets = _targets(some, all_of(some), TRAINING)
    assert targets[CLASS_HEAD].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert targets["nucleus"].tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert targets["vacuoles"].tolist() == [[0, 0], [0, 0], [0, 1]]


def test_votes_are_learned_as_they_were_given_and_a_cell_without_votes_by_its_class():
    some = crops((0, 1, 2), votes=[[0.75, 0.25, 0], [0, 0, 0], [0, 0.5, 0.5]])
    targets = _targets(some, all_of(some), TRAINING)
    assert targets[CLASS_HEAD].tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0.5, 0.5]]


def test_smoothing_takes_from_the_known_only():
    some = crops((0, MISSING), nucleus=(MISSING, 1))
    smooth = dataclasses.replace(TRAINING, label_smoothing=0.3)
    targets = _targets(some, all_of(some), smooth)
    assert targets[CLASS_HEAD].numpy() == pytest.approx(np.asarray([[0.8, 0.1, 0.1], [0, 0, 0]]))
    assert targets["nucleus"].numpy() == pytest.approx(np.asarray([[0, 0, 0], [0.1, 0.8, 0.1]]))


def test_targets_follow_the_crops_that_were_drawn():
    some = crops((0, 1, 2), nucleus=(2, 1, 0))
    targets = _targets(some, np.asarray([2, 2, 0]), TRAINING)
    assert targets[CLASS_HEAD].argmax(dim=1).tolist() == [2, 2, 0]
    assert targets["nucleus"].argmax(dim=1).tolist() == [0, 0, 2]


@pytest.mark.parametrize(("balance", "shares"), [(1.0, [1 / 3] * 3), (0.0, [3 / 6, 2 / 6, 1 / 6])])
def test_classes_are_drawn_equally_often_or_as_they_occur(balance, shares):
    classes = np.asarray([0, 0, 0, 1, 1, 2])
    chances = _chances(classes, balance)
    assert chances.sum() == pytest.approx(1)
    assert [chances[classes == k].sum() for k in range(3)] == pytest.approx(shares)


@settings(max_examples=30, deadline=None)
@given(classes=st.lists(st.integers(-1, 4), min_size=1, max_size=40), balance=st.floats(0, 1))
def test_whatever_the_balance_rare_classes_are_drawn_no_less_than_they_occur(classes, balance):
    classes = np.asarray(classes)
    chances = _chances(classes, balance)
    assert chances.sum() == pytest.approx(1)
    counts = {k: int((classes == k).sum()) for k in set(classes.tolist())}
    rarest = min(counts, key=counts.get)
    assert chances[classes == rarest].sum() >= counts[rarest] / len(classes) - 1e-9


def test_an_unknown_attribute_costs_nothing_and_teaches_nothing():
    some = crops((0, 1), nucleus=(1, MISSING))
    scores = {name: torch.zeros(2, n, requires_grad=True) for name, n in heads_of(some).items()}
    _loss(scores, _targets(some, all_of(some), TRAINING), 1.0).backward()
    assert (scores["vacuoles"].grad == 0).all()
    assert (scores["nucleus"].grad[1] == 0).all()
    assert (scores["nucleus"].grad[0] != 0).all()
    assert (scores[CLASS_HEAD].grad != 0).all()


def test_the_loss_is_the_cross_entropy_of_the_class_and_the_mean_of_those_of_the_attributes():
    some = crops((0, 1), nucleus=(1, MISSING), vacuoles=(0, 1))
    rng = torch.Generator().manual_seed(1)
    scores = {name: torch.randn(2, n, generator=rng) for name, n in heads_of(some).items()}
    cross = torch.nn.functional.cross_entropy
    expected = cross(scores[CLASS_HEAD], torch.tensor([0, 1])) + 0.5 * (
        (cross(scores["nucleus"][:1], torch.tensor([1])) + cross(scores["vacuoles"], torch.tensor([0, 1]))) / 2
    )
    assert _loss(scores, _targets(some, all_of(some), TRAINING), 0.5) == pytest.approx(float(expected))


def test_without_mixing_pictures_stay_what_they_are():
    images, targets = torch.rand(3, 3, 4, 4), {CLASS_HEAD: torch.eye(3)}
    mixed, told = _mixed(images, targets, 0.0, np.random.default_rng(0))
    assert torch.equal(mixed, images)
    assert torch.equal(told[CLASS_HEAD], torch.eye(3))


def test_pictures_are_mixed_with_their_targets_in_the_same_shares():
    # Each picture shows its own number, so that the mixture says what it is made of.
    images = torch.zeros(3, 3, 4, 4)
    for i in range(3):
        images[i, i] = 200
    for seed in range(10):
        mixed, told = _mixed(images, {CLASS_HEAD: torch.eye(3)}, 0.5, np.random.default_rng(seed))
        assert torch.equal(mixed, mixed.round())
        assert mixed[:, :, 0, 0].numpy() / 200 == pytest.approx(told[CLASS_HEAD].numpy(), abs=0.003)
        assert told[CLASS_HEAD].sum(dim=1).numpy() == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_is_made_again_the_same_from_its_seed(tmp_path, precision):
    training = dataclasses.replace(
        TRAINING,
        effort=Effort(steps=4, batch=6, precision=precision, rounded_from=0.5),
        variety=Variety(turns=True, shift_um=0.5, log_stain=0.1, blur_px=1.0),
        mixing=0.2,
    )
    some = crops(nucleus=(0, 1, 2, 0, 1, 2))

    def trained(name, seed):
        return train_classifier(some, Run(tmp_path / name), training, seed=seed).state_dict()

    first, again, other = trained("a", 1), trained("b", 1), trained("c", 2)
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert not all(torch.equal(value, other[key]) for key, value in first.items())
    assert all(bool(value.isfinite().all()) for value in first.values())


def test_cells_shown_in_other_stains_teach_another_network_and_the_same_from_the_same_seed(tmp_path):
    training = dataclasses.replace(TRAINING, other_stains=0.5)
    some = dataclasses.replace(crops(), images=np.stack([smear(HERE, side=48, seed=s)[::2, ::2] for s in range(6)]))

    def trained(name, stains, how=training):
        return train_classifier(some, Run(tmp_path / name), how, stains=stains, seed=1).state_dict()

    first, again, plain = trained("a", (THERE,)), trained("b", (THERE,)), trained("c", (), TRAINING)
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert not all(torch.equal(value, plain[key]) for key, value in first.items())


def test_cells_whose_own_stain_cannot_be_told_are_not_shown_in_others(tmp_path):
    training = dataclasses.replace(TRAINING, other_stains=0.5)
    grey = dataclasses.replace(crops(), images=np.full((6, 24, 24, 3), 200, np.uint8))
    with pytest.raises(UserError, match="glass, red cells and nuclei cannot be told"):
        train_classifier(grey, Run(tmp_path), training, stains=(THERE,))


def test_a_validation_sees_the_network_that_is_trained(tmp_path):
    seen = []
    training = dataclasses.replace(TRAINING, effort=Effort(steps=4, batch=6, evaluate_every=2))
    network = train_classifier(crops(), Run(tmp_path), training, validate=lambda n: seen.append(n) or 0.5)
    assert seen == [network, network]
