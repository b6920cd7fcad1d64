"""Every shipped recipe: from data in its published layout to a bundle and its figures, in a few steps."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from marrow_models.bundle import CLASSIFIER as CLASSIFIER_WEIGHTS
from marrow_models.bundle import load_bundle, shipped_bundles
from marrow_models.datasets.attributes import load_schema
from marrow_models.datasets.readers import READERS
from marrow_models.errors import UserError
from marrow_models.networks.lattice import lowest_bit
from marrow_models.networks.loading import load_networks, read_weights
from marrow_models.networks.pretrained import PUBLISHED
from marrow_models.taxonomy import load_taxonomy
from marrow_models.training.classifier import NETWORKS
from marrow_models.training.from_recipe import Workshop
from marrow_models.training.go_on import Beginning
from marrow_models.training.judge import judging_workshop, measured_bundle
from marrow_models.training.make import make_bundle
from marrow_models.training.recipe_file import (
    CLASSIFIER,
    COLOURS,
    DETECTOR,
    RECIPES,
    ClassifierRecipe,
    DetectorRecipe,
    RecipeFile,
    load_recipe,
    shipped_recipes,
)
from tests.layouts import oi_pbc
from tests.layouts.drawing import write_picture, write_text, yolo_line

STEPS = 3
FORMS = {"marrow33": ({"form": "dicom"}, {"form": "csv", "slides": "mrxs"})}
"""The forms in which the data of a recipe are published, where there are several."""
ENOUGH = {"marrow_pediatric": {"patients": 5, "cells": 30}, "phantom": {"patients": 8}}
"""Patients for three parts, where the small data set of a layout has fewer."""
PBC = {"train": ("BA_1", "EO_2", "LY_3"), "val": ("BA_4", "EO_5"), "test": ("BA_6", "LY_7")}
"""Pictures of Acevedo and OI-PBC with classes that all parts share."""
NARROW_PX = 32
"""Side of the crops of a ResNet-50 here: at its own it takes seconds a step."""

each_recipe = pytest.mark.parametrize("name", shipped_recipes())
each_form = pytest.mark.parametrize(
    ("name", "form"),
    [pytest.param(n, form, id=form.get("form", n)) for n in shipped_recipes() for form in FORMS.get(n, ({},))],
)


def layout(name: str):
    return import_module(f"tests.layouts.{name}")


def continued(recipe: RecipeFile) -> set[str]:
    """The bundles that a recipe goes on from, of which it makes the next version."""
    trainings = [network.training for network in (recipe.detector, recipe.classifier) if network]
    return {training.continue_from.bundle for training in trainings if training.continue_from}


def roles_of(recipe: RecipeFile) -> tuple[str, ...]:
    return tuple(role for role in (DETECTOR, CLASSIFIER) if getattr(recipe, role) is not None)


def lowered(recipe: RecipeFile) -> RecipeFile:
    """The recipe but for its effort and the width of its networks; pixel sizes where the user has to give them."""
    data = {
        name: replace(use, um_per_px_by_domain=dict(layout(use.layout).OPTIONS.um_per_px_by_domain))
        for name, use in recipe.data.items()
    }
    detector, classifier = recipe.detector, recipe.classifier
    return replace(
        recipe,
        base="phantom",
        data=data,
        detector=detector and lowered_detector(detector),
        classifier=classifier and lowered_classifier(classifier),
    )


def lowered_effort(effort):
    looks = STEPS if effort.evaluate_every else 0
    return replace(effort, steps=STEPS, batch=4, precision="float32", restarts=(), evaluate_every=looks)


def lowered_detector(detector: DetectorRecipe) -> DetectorRecipe:
    training = replace(
        detector.training,
        effort=lowered_effort(detector.training.effort),
        planes=(16, 16, 16),
        blocks=(1, 1),
        window_px=64,
        continue_from=None,
        other_stains=0.0,  # the drawn pictures of the layouts have no stain
    )
    return replace(detector, training=training)


def lowered_classifier(classifier: ClassifierRecipe) -> ClassifierRecipe:
    training = replace(
        classifier.training,
        effort=lowered_effort(classifier.training.effort),
        planes=(16, 16, 16),
        blocks=(1, 1),
        continue_from=None,
        other_stains=0.0,  # the drawn cells of the layouts have no stain
    )
    narrow = {"crop_px": NARROW_PX} if training.network == "ResNet50Crops" else {}
    return replace(classifier, training=training, least_cells=1, **narrow)


def with_weights(recipe: RecipeFile, folder: Path) -> RecipeFile:
    """The recipe with a file to start from, where it wants one: names and shapes as published, values random."""
    classifier = recipe.classifier
    if classifier is None or classifier.training.start is None:
        return recipe
    network = NETWORKS[classifier.training.network]({"cell_class": 2}, classifier.training)
    names = PUBLISHED[type(network)].name_of
    tensors = {
        names(key): tensor.contiguous()
        for key, tensor in network.state_dict().items()
        if not key.startswith("heads.") and not key.endswith("num_batches_tracked")
    }
    path = folder / "weights.safetensors"
    save_file(tensors, path)
    start = replace(classifier.training.start, path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    return replace(recipe, classifier=replace(classifier, training=replace(classifier.training, start=start)))


def written(recipe: RecipeFile, folder: Path, **form: str) -> dict[str, Path]:
    """A small data set for each that the recipe asks for."""
    paths = {}
    for name, use in recipe.data.items():
        (folder / name).mkdir(parents=True)
        write = write_flat_fields if use.layout == "txl_pbc" else layout(use.layout).write
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(oi_pbc, "FILES", PBC)
            paths[name] = write(folder / name, **ENOUGH.get(use.layout, {}), **form)
    return paths


def write_flat_fields(folder: Path) -> Path:
    """The layout of TXL-PBC without a split, as the fields of Raabin lie in it."""
    for number in range(6):
        write_picture(folder / "images" / f"{number}.jpg", 120, 120, seed=number)
        boxes = ((0, (40, 40, 80, 80)), (1, (2, 20 + number, 32, 50)), (2, (100, 100, 108, 110)))
        lines = [yolo_line(index, box, 120, 120) for index, box in boxes]
        write_text(folder / "labels" / f"{number}.txt", "\n".join(lines))
    return folder


@each_recipe
def test_a_recipe_loads_and_names_what_there_is(name):
    recipe = load_recipe(name)
    assert recipe.name in {name, *continued(recipe)}
    assert {use.layout for use in recipe.data.values()} <= READERS.keys()
    trainings = [network.training for network in (recipe.detector, recipe.classifier) if network]
    colours = {COLOURS} if any(training.other_stains for training in trainings) else set()
    assert {use for data in recipe.data.values() for use in data.use} == colours.union(roles_of(recipe))
    assert set(recipe.classifier.labels if recipe.classifier else ()) <= set(load_taxonomy(recipe.taxonomy).labels)
    assert recipe.limits


@each_recipe
def test_the_base_of_a_recipe_is_shipped(name):
    assert load_recipe(name).base in shipped_bundles()


@each_recipe
def test_the_page_of_a_recipe_has_the_commands_for_all_of_its_data(name):
    page = (RECIPES / name / "README.md").read_text(encoding="utf-8")
    commands = [line for line in page.splitlines() if "marrow " in line]
    # A recipe that lacks what only the user knows is copied and completed first.
    assert any(f"--config {config}" in line for line in commands for config in (name, f"my-{name}.toml"))
    for data in load_recipe(name).data:
        assert f"--data {data}=" in page


@each_recipe
def test_crops_and_windows_hold_the_cells_that_are_looked_for(name):
    recipe = load_recipe(name)
    if recipe.classifier:
        assert 20 <= recipe.classifier.crop_px * recipe.classifier.um_per_px <= 60
    if recipe.detector:
        window_um = recipe.detector.training.window_px * recipe.detector.um_per_px
        assert window_um >= 0.9 * recipe.detector.largest_um
        assert recipe.detector.duplicate_um < recipe.detector.largest_um / 2


@pytest.mark.slow
@each_form
def test_a_recipe_trains_is_measured_and_yields_a_bundle(name, form, tmp_path):
    recipe = with_weights(lowered(load_recipe(name)), tmp_path)
    paths = written(recipe, tmp_path / "data", **form)
    steps: list[object] = []
    workshop = Workshop(recipe, paths, tmp_path / "work", roles_of(recipe), steps.append)

    made, figures = make_bundle(tmp_path / "out", workshop, command="marrow train bundle")

    assert [step.number for step in steps] == [STEPS] * len(workshop.roles)
    bundle = load_bundle(tmp_path / "out")
    assert (bundle.digest, bundle.name, bundle.licence) == (made.digest, recipe.name, recipe.licence)
    check_detector(bundle, recipe, figures)
    check_classifier(bundle, recipe, figures, workshop)
    card = (tmp_path / "out" / "docs" / "README.md").read_text(encoding="utf-8")
    assert all(limit in card for limit in recipe.limits)
    for data_set in workshop.data_sets.values():
        assert f"{data_set.source}, licence {data_set.licence}" in card
    for what in workshop.roles:
        check_measured_again(load_bundle(tmp_path / "out"), recipe, paths, tmp_path / "again", what, figures)


@pytest.mark.slow
def test_a_lent_network_is_measured_where_its_data_are_given(tmp_path):
    recipe = lowered(load_recipe("blood"))
    paths = written(recipe, tmp_path / "data")
    whole = Workshop(recipe, paths, tmp_path / "whole")
    first, before = make_bundle(tmp_path / "first", whole, command="marrow train bundle")
    lent = replace(recipe, base=str(tmp_path / "first"))
    too_few = replace(lent, classifier=replace(lent.classifier, least_cells=10**6))
    fields, cells = {name: paths[name] for name in ("bccd", "raabin")}, {"pbc": paths["pbc"]}
    for asked, role, given, measured in (
        (lent, CLASSIFIER, paths, True),
        (lent, CLASSIFIER, cells, False),
        (lent, DETECTOR, paths, True),
        (lent, DETECTOR, fields, False),
        (too_few, DETECTOR, paths, False),
    ):
        alone = Workshop(asked, given, tmp_path / f"alone-{role}", (role,))
        made, figures = make_bundle(tmp_path / "second", alone, command=f"marrow train {role}")
        other = DETECTOR if role == CLASSIFIER else CLASSIFIER
        assert getattr(made, f"{other}_digest") == getattr(first, f"{other}_digest")
        if role == CLASSIFIER:
            assert (figures.boxes.ap50 == before.boxes.ap50) if measured else figures.boxes is None
        else:
            assert (figures.classes.macro_f1 == before.classes.macro_f1) if measured else figures.classes is None
            assert (figures.attributes is not None) == measured
        card = (tmp_path / "second" / "docs" / "README.md").read_text(encoding="utf-8")
        assert f"{other}: taken over from the bundle blood" in card
        assert ("## Boxes" in card, "## Classes" in card) == (
            role == DETECTOR or measured,
            role == CLASSIFIER or measured,
        )


@pytest.mark.slow
def test_a_recipe_goes_on_from_the_bundle_of_another(tmp_path):
    recipe = lowered(load_recipe("blood"))
    paths = written(recipe, tmp_path / "data")
    make_bundle(tmp_path / "first", Workshop(recipe, paths, tmp_path / "work"), command="marrow train bundle")
    following = load_recipe("blood_continued")
    lower = lowered(following)
    training = replace(lower.classifier.training, continue_from=Beginning(str(tmp_path / "first")))
    lower = replace(lower, base=str(tmp_path / "first"), classifier=replace(lower.classifier, training=training))
    made, figures = make_bundle(
        tmp_path / "next", Workshop(lower, paths, tmp_path / "on", ("classifier",)), command="marrow train classifier"
    )
    assert (made.name, made.version) == ("blood", following.version)
    assert made.detector_digest == load_bundle(tmp_path / "first").detector_digest
    assert figures.classes.cells > 0
    card = (tmp_path / "next" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "classifier: went on from that of blood" in card
    assert "detector: went on" not in card
    weights = read_weights(load_bundle(tmp_path / "next"), CLASSIFIER_WEIGHTS)
    deep = [weight.double().flatten(1) for weight in weights.values() if weight.dim() == 4 and weight.shape[1] > 3]
    assert deep
    assert all(bool((w.abs() <= 127 * lowest_bit(w).amin(dim=1, keepdim=True)).all()) for w in deep)


@pytest.mark.parametrize("role", [DETECTOR, CLASSIFIER])
def test_a_bundle_to_go_on_from_that_is_not_there_is_said_before_pictures_are_read(tmp_path, role):
    recipe = lowered(load_recipe("blood"))
    part = getattr(recipe, role)
    training = replace(part.training, continue_from=Beginning("blod"))
    workshop = Workshop(replace(recipe, **{role: replace(part, training=training)}), {}, tmp_path / "work", (role,))
    with pytest.raises(UserError, match=rf"{role}\.training\.continue_from: There is no model bundle 'blod'"):
        workshop.train_all()


def check_detector(bundle, recipe, figures):
    if recipe.detector is None:
        assert bundle.detector_digest == load_bundle("phantom").detector_digest
        assert figures.boxes is None
        return
    assert bundle.detector.um_per_px == recipe.detector.um_per_px
    assert bundle.detector_digest != load_bundle("phantom").detector_digest
    assert figures.boxes.boxes > 0
    assert [row.kind for row in figures.boxes.kinds] == list(recipe.detector.kinds)


def check_classifier(bundle, recipe, figures, workshop):
    if recipe.classifier is None:
        assert bundle.classifier_digest == load_bundle("phantom").classifier_digest
        assert figures.classes is None
        return
    assert bundle.taxonomy == recipe.taxonomy
    assert set(bundle.labels) <= set(load_taxonomy(recipe.taxonomy).labels)
    assert bundle.labels == workshop.labels
    assert figures.classes.cells == int((workshop.crops("test").classes >= 0).sum()) > 0
    attributes = load_schema(recipe.classifier.attributes).values if recipe.classifier.attributes else {}
    assert dict(bundle.classifier.attributes) == dict(attributes)
    assert (figures.attributes is not None) == bool(attributes)


def check_measured_again(bundle, recipe, paths, work, what, figures):
    """`marrow evaluate` on the same part gives the same figures, from the files of the bundle alone."""
    judging = judging_workshop(bundle, recipe, paths, work, what)
    again = measured_bundle(judging, *load_networks(bundle), "test", what)
    if what == DETECTOR:
        assert again.boxes.ap50 == figures.boxes.ap50
        assert again.boxes.boxes == figures.boxes.boxes
    else:
        assert np.array_equal(again.classes.confusion, figures.classes.confusion)
        assert math.isclose(again.classes.accuracy.value, figures.classes.accuracy.value)
        assert (again.attributes is None) == (figures.attributes is None)
        if again.attributes:
            assert again.attributes.mean_accuracy == figures.attributes.mean_accuracy


@pytest.mark.slow
def test_votes_of_the_raters_are_the_targets_of_marrow33(tmp_path):
    recipe = lowered(load_recipe("marrow33"))
    workshop = Workshop(recipe, written(recipe, tmp_path / "data"), tmp_path / "work", (CLASSIFIER,))
    crops = workshop.crops("train")
    assert crops.votes is not None
    assert crops.votes.sum(axis=1) == pytest.approx(1)
    torn = (crops.votes > 0).sum(axis=1) > 1
    assert torn.any()
    assert not torn.all()
    # The consensus is among the labels with the most votes.
    highest = crops.votes.max(axis=1)
    assert (crops.votes[np.arange(len(crops)), crops.classes] == highest).mean() > 0.9


def test_a_recipe_without_the_pixel_size_of_its_data_says_where_to_give_it(tmp_path):
    recipe = load_recipe("lld14")
    workshop = Workshop(recipe, written(recipe, tmp_path / "data"), tmp_path / "work")
    with pytest.raises(UserError, match=r"um_per_px_by_domain\.[HL]_\d+X_C\d"):
        workshop.marked("train")


def test_a_rare_label_is_left_out_of_a_recipe_with_a_least_number_of_cells(tmp_path):
    recipe = lowered(load_recipe("phantom_cells"))
    paths = written(recipe, tmp_path / "data")
    every = Workshop(recipe, paths, tmp_path / "work").labels
    common = Workshop(
        replace(recipe, classifier=replace(recipe.classifier, least_cells=2)), paths, tmp_path / "work"
    ).labels
    assert set(common) < set(every)


def test_a_picture_with_a_class_and_no_cell_is_one_example(tmp_path):
    recipe = lowered(load_recipe("all4"))
    workshop = Workshop(recipe, written(recipe, tmp_path / "data"), tmp_path / "work", (CLASSIFIER,))
    pictures = workshop.splits["taleqani"].train
    assert all(picture.label and not picture.cells for picture in pictures)
    crops = workshop.crops("train")
    assert [crops.labels[index] for index in crops.classes] == [picture.label for picture in pictures]
