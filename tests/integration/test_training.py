"""From nothing to a bundle: a very small training of everything, twice."""

import dataclasses

import numpy as np
import pytest
import torch

from marrow_models.analysis import analyse_pixels
from marrow_models.bundle import load_bundle
from marrow_models.records import Field, Rect
from marrow_models.training.array_slide import ArraySlide
from marrow_models.training.recipe import Recipe, Workshop, make_phantom_bundle

SMALL = Recipe(
    fields=6,
    held_out_fields=2,
    tuning_fields=2,
    detector_steps=40,
    detector_batch=3,
    classifier_steps=4,
    classifier_batch=8,
)


@pytest.fixture
def _one_thread():
    """Sums of several threads are the same each time only as long as each gets the same share of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.nights
@pytest.mark.usefixtures("_one_thread")
def test_a_bundle_is_made_from_a_seed_and_made_again_the_same(tmp_path):
    steps = []
    workshop = Workshop(tmp_path / "work", seed=5, recipe=SMALL)
    bundle, figures = make_phantom_bundle(tmp_path / "bundle", workshop, progress=steps.append)
    assert steps
    assert figures.fields == 2
    assert bundle.digest == load_bundle(tmp_path / "bundle").digest
    card = (tmp_path / "bundle" / "docs" / "README.md").read_text()
    assert f"{figures.ap50:.4f}" in card
    assert (bundle.diagnosis_path / "diagnosis.json").exists()
    image = workshop.fields("held_out").images[0]
    cells = analyse_pixels(
        ArraySlide(image, 0.25), (Field(0, Rect(0, 0, 512, 512)),), bundle, batch_size=8, tile_px=256
    )
    assert cells.labels == bundle.labels
    # Trained networks and drawn fields are kept: making it again trains nothing.
    steps.clear()
    again, _ = make_phantom_bundle(tmp_path / "again", workshop, progress=steps.append)
    assert steps == []
    assert again.digest == bundle.digest
    elsewhere = dataclasses.replace(workshop, folder=tmp_path / "elsewhere")
    fresh, _ = make_phantom_bundle(tmp_path / "fresh", elsewhere)
    for part in ("training", "tuning", "held_out"):
        drawn, drawn_again = workshop.fields(part), elsewhere.fields(part)
        assert np.array_equal(drawn.images, drawn_again.images), part
        assert drawn.labels == drawn_again.labels, part
    curves = [(made.folder / "detector" / "curve.csv").read_text() for made in (workshop, elsewhere)]
    assert curves[0] == curves[1]
    assert fresh.files["models/detector.safetensors"] == bundle.files["models/detector.safetensors"]
    assert fresh.files["models/classifier.safetensors"] == bundle.files["models/classifier.safetensors"]
