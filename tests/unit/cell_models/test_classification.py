import dataclasses
import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marrow_models import classification
from marrow_models.classification import Classifier
from marrow_models.errors import BundleError, Reason, SlideRefused
from marrow_models.networks.crop import CropNet
from marrow_models.networks.lattice import fold
from marrow_models.training.array_slide import ArraySlide
from tests.unit.cell_models.factories import CLASSIFIER, LABELS, crop_net, lively, picture, slide


def classifier(**changes):
    return Classifier(fold(crop_net()), dataclasses.replace(CLASSIFIER, **changes))


def probabilities(source, x_um, y_um, *, batch_size, **changes):
    return classifier(**changes).classify(source, x_um, y_um, batch_size=batch_size).probabilities


def places(seed, count, width_um=60, height_um=50):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, width_um, count), rng.uniform(0, height_um, count)


@settings(max_examples=20, deadline=None)
@given(batch=st.integers(1, 40), seed=st.integers(0, 3))
def test_no_batch_size_changes_a_probability(batch, seed):
    x, y = places(seed, 23)
    expected = probabilities(slide(seed), x, y, batch_size=64)
    assert np.array_equal(probabilities(slide(seed), x, y, batch_size=batch), expected)


def test_the_company_of_a_cell_changes_nothing():
    x, y = places(5, 12)
    together = probabilities(slide(1), x, y, batch_size=12)
    order = np.random.default_rng(0).permutation(12)
    assert np.array_equal(probabilities(slide(1), x[order], y[order], batch_size=5), together[order])


def test_reading_crops_one_by_one_or_at_once_is_the_same():
    # Far apart each crop is read alone; next to each other all are cut from one region.
    source = ArraySlide(np.tile(picture(1), (6, 5, 1)), 0.25)
    x, y = np.array([20.0, 270.0, 22.0]), np.array([20.0, 280.0, 21.0])
    apart = probabilities(source, x, y, batch_size=3)
    close = probabilities(source, x[[0, 2]], y[[0, 2]], batch_size=2)
    assert np.array_equal(apart[[0, 2]], close)


def test_probabilities_add_up_to_one():
    told = probabilities(slide(1), *places(1, 30), batch_size=7)
    assert told.shape == (30, len(LABELS))
    assert told.dtype == np.float32
    assert (told >= 0).all()
    assert np.allclose(told.sum(axis=1), 1, atol=3e-6)
    assert len({tuple(row) for row in told.tolist()}) > 20


def test_no_crop_is_classified_alone_where_there_are_others(monkeypatch):
    sizes = []
    ours = classifier()
    ours.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    monkeypatch.setattr(classification, "CACHED_PX", 2 * CLASSIFIER.crop_px**2)
    crops = np.random.default_rng(1).integers(0, 256, (7, CLASSIFIER.crop_px, CLASSIFIER.crop_px, 3)).astype(np.uint8)
    whole = ours.tell(crops)["cell_class"]
    assert set(sizes) == {2, 3}
    assert np.array_equal(ours.tell(crops[6:])["cell_class"], whole[6:])


def test_without_cells_there_are_no_rows():
    assert probabilities(slide(1), np.zeros(0), np.zeros(0), batch_size=8).shape == (0, len(LABELS))


def test_the_crop_is_centred_on_the_cell():
    pixels = picture(7)
    moved = np.full_like(pixels, 255)
    moved[24:, 16:] = pixels[:-24, :-16]
    x, y = np.array([28.0]), np.array([25.0])
    here = probabilities(ArraySlide(pixels, 0.25), x, y, batch_size=1)
    there = probabilities(ArraySlide(moved, 0.25), x + 16 * 0.25, y + 24 * 0.25, batch_size=1)
    assert np.array_equal(here, there)


def test_beyond_the_edge_of_the_slide_it_sees_glass():
    pixels = picture(7)
    framed = np.pad(pixels, ((40, 40), (40, 40), (0, 0)), constant_values=255)
    x, y = np.array([1.0]), np.array([2.0])
    cut = probabilities(ArraySlide(pixels, 0.25), x, y, batch_size=1)
    assert np.array_equal(cut, probabilities(ArraySlide(framed, 0.25), x + 10, y + 10, batch_size=1))


def test_a_higher_temperature_is_less_sure_of_the_same_class():
    x, y = places(3, 20)
    cold, hot = (probabilities(slide(3), x, y, batch_size=20, temperature=t) for t in (0.5, 4.0))
    assert (cold.argmax(axis=1) == hot.argmax(axis=1)).all()
    assert (cold.max(axis=1) >= hot.max(axis=1)).all()
    assert cold.max() > hot.max()


def test_scores_that_are_no_numbers_refuse_the_slide():
    network = fold(crop_net())
    network.heads["cell_class"].bias.fill_(float("nan"))
    with pytest.raises(SlideRefused) as refused:
        Classifier(network, CLASSIFIER).classify(slide(1), *places(1, 2), batch_size=2)
    assert refused.value.reason is Reason.MODEL_OUTPUT


VALUES = {"cell_size": ("small", "big"), "granule_colour": ("nil", "pink", "red", "purple")}


@functools.cache
def attribute_network():
    """A network that was never trained, with heads for ``VALUES`` beside the class."""
    torch.manual_seed(4)
    heads = {"cell_class": len(LABELS)} | {name: len(values) for name, values in VALUES.items()}
    return fold(lively(CropNet(heads, planes=(4, 8, 8), blocks=(1, 1))))


def with_attributes(**changes):
    return Classifier(attribute_network(), dataclasses.replace(CLASSIFIER, **({"attributes": VALUES} | changes)))


def test_a_classifier_without_attributes_tells_none():
    assert classifier().classify(slide(1), *places(1, 5), batch_size=5).attributes == {}


def test_every_attribute_is_told_of_every_cell():
    told = with_attributes().classify(slide(1), *places(1, 30), batch_size=7)
    assert list(told.attributes) == list(VALUES)
    for name, values in VALUES.items():
        chances = told.attributes[name]
        assert (chances.shape, chances.dtype) == ((30, len(values)), np.float32)
        assert np.allclose(chances.sum(axis=1), 1, atol=3e-6)
        assert len({tuple(row) for row in chances.tolist()}) > 20


def test_attributes_change_no_class():
    x, y = places(2, 25)
    both = with_attributes().classify(slide(2), x, y, batch_size=9)
    told = with_attributes(attributes={}).classify(slide(2), x, y, batch_size=9)
    assert np.array_equal(told.probabilities, both.probabilities)
    assert told.attributes == {}


@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 40))
def test_no_batch_size_changes_an_attribute(batch):
    x, y = places(6, 23)
    expected, told = (with_attributes().classify(slide(3), x, y, batch_size=size).attributes for size in (64, batch))
    assert all(np.array_equal(told[name], expected[name]) for name in VALUES)


def test_the_temperature_is_that_of_the_class_alone():
    x, y = places(3, 20)
    cold, hot = (with_attributes(temperature=t).classify(slide(3), x, y, batch_size=20) for t in (0.5, 4.0))
    assert not np.array_equal(cold.probabilities, hot.probabilities)
    assert all(np.array_equal(cold.attributes[name], hot.attributes[name]) for name in VALUES)


def test_without_cells_attributes_have_no_rows():
    told = with_attributes().classify(slide(1), np.zeros(0), np.zeros(0), batch_size=8)
    assert {name: chances.shape for name, chances in told.attributes.items()} == {
        "cell_size": (0, 2),
        "granule_colour": (0, 4),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"attributes": {"vacuoles": ("no", "yes")}},
        {"attributes": {"cell_size": ("small", "medium", "big")}},
        {"labels": LABELS[:2]},
    ],
)
def test_a_network_that_is_not_the_one_of_its_settings_is_refused(changes):
    with pytest.raises(BundleError, match="has no head"):
        with_attributes(**changes).classify(slide(1), *places(1, 2), batch_size=2)
