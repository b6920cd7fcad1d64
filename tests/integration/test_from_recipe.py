"""From a recipe and data sets on disk to tuned networks, with very small ones of everything."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from marrow_models.classification import CLASS_HEAD
from marrow_models.errors import UserError
from marrow_models.training.crops import MISSING
from marrow_models.training.from_recipe import PARTS, Workshop
from marrow_models.training.measure import boxes_in, told
from marrow_models.training.recipe_file import CLASSIFIER, DETECTOR, load_recipe
from tests.layouts.drawing import voc_xml, write_text

COLOURS = {"LYT": (90, 50, 140), "MON": (140, 110, 170), "EBO": (60, 30, 70)}
RECIPE = """
name = "small"
version = "1.0.0"
title = "Small"
licence = "CC0-1.0"
taxonomy = "bmc21"
slide_um_per_px = [0.05, 0.30]
seed = 3

[data.fields]
layout = "bccd"
use = ["detector"]
um_per_px = 0.25

[data.cells]
layout = "class_folder"
use = ["classifier"]
taxonomy = "bmc21"
um_per_px = 0.25
shares = [0.6, 0.2, 0.2]

[detector]
um_per_px = 0.5
kinds = ["nucleated", "erythrocyte", "platelet"]

[detector.training]
window_px = 64
planes = [4, 8, 8]
blocks = [1, 1]

[detector.training.effort]
steps = 8
batch = 2
evaluate_every = 4

[classifier]
um_per_px = 0.5
crop_px = 16
margin_px = 4

[classifier.training]
planes = [4, 8, 8]
blocks = [1, 1]

[classifier.training.effort]
steps = 8
batch = 6
evaluate_every = 4

[survey]
um_per_px = 1.0
field_um = 128.0
nucleus_um2 = 60.0
nucleus_density = 0.06
largest_dark_share = 0.9
least_sharpness = 0.1
"""


def disc(image, x, y, radius, colour):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    image[(columns - x) ** 2 + (rows - y) ** 2 < radius**2] = colour


def write_fields(folder: Path) -> Path:
    """The cleaned BCCD: pictures with their annotation beside them, in training/ and testing/."""
    for number in range(8):
        rng = np.random.default_rng(number)
        image = np.full((96, 128, 3), (235, 225, 228), np.uint8)
        white, red = rng.integers(24, 72, 2), (rng.integers(90, 112), rng.integers(16, 80))
        disc(image, *white, 18, (100, 60, 150))
        disc(image, *red, 10, (210, 120, 120))
        objects = [
            ("WBC", (int(white[0]) - 18, int(white[1]) - 18, int(white[0]) + 18, int(white[1]) + 18), 0),
            ("RBC", (int(red[0]) - 10, int(red[1]) - 10, int(red[0]) + 10, int(red[1]) + 10), 0),
        ]
        path = folder / ("training" if number < 6 else "testing") / f"BloodImage_{number:05d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path.with_suffix(".jpg"))
        write_text(path.with_suffix(".xml"), voc_xml(f"{path.name}.jpg", (128, 96), objects))
    return folder


def write_cells(folder: Path, classes=tuple(COLOURS), each=10) -> Path:
    """Class folders without a split; the first two pictures of every class are the same picture."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(each):
            rng = np.random.default_rng([len(name), ord(name[0]), max(1, number)])
            image = np.full((48, 48, 3), (235, 225, 228), np.uint8)
            noise = rng.integers(-12, 12, 3)
            disc(
                image, *rng.integers(20, 28, 2), rng.integers(10, 16), np.asarray(COLOURS.get(name, (90,) * 3)) + noise
            )
            Image.fromarray(image).save(folder / name / f"{name}_{number:05d}.png")
    return folder


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return {"fields": write_fields(folder / "bccd"), "cells": write_cells(folder / "cells")}


def recipe(tmp_path, *changes):
    text = RECIPE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "recipe.toml").write_text(text)
    return load_recipe(tmp_path)


@pytest.fixture
def workshop(tmp_path, paths):
    def make(*changes, folder="work", roles=(DETECTOR, CLASSIFIER), given=paths, progress=lambda step: None):
        return Workshop(recipe(tmp_path, *changes), given, tmp_path / folder, roles, progress)

    return make


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def names(pictures):
    return {picture.image.name for picture in pictures}


@pytest.mark.slow
def test_networks_are_trained_and_tuned_to_be_used(workshop, paths):
    steps = []
    made = workshop(progress=steps.append)
    detector = made.tuned_detector(made.train_detector())
    classifier = made.tuned_classifier(made.train_classifier())
    assert [step.number for step in steps] == [4, 8, 4, 8]
    assert all(0 <= step.figure <= 1 for step in steps)
    assert detector.settings.um_per_px == classifier.settings.um_per_px == 0.5
    assert 0.01 <= detector.settings.score_threshold <= 0.99
    assert 0.2 <= classifier.settings.temperature <= 5
    assert classifier.settings.labels == ("erythroblast", "lymphocyte", "monocyte")
    image = np.asarray(made.marked("test").images[0])
    assert image.shape == (48, 64, 3)
    assert boxes_in(detector, image).boxes.shape[1] == 4
    said = told(classifier, made.crops("test"))[CLASS_HEAD]
    assert said.shape == (len(made.crops("test")), 3)
    assert said.sum(axis=1) == pytest.approx(np.ones(len(said)), abs=1e-5)
    for role in (DETECTOR, CLASSIFIER):
        assert {"best.safetensors", "curve.csv", "state.json"} <= {p.name for p in (made.folder / role).iterdir()}


IN_OTHER_COLOURS = (
    ('use = ["detector"]', 'use = ["detector", "colours"]'),
    ("[classifier.training]\n", "[classifier.training]\nother_stains = 1.0\n"),
)


def write_smears(folder, glass, parts=("training", "testing")):
    """Pictures of BCCD's layout with glass of its own colour; those for testing have another one."""
    for part, count in zip(parts, (6, 2), strict=True):
        (folder / part).mkdir(parents=True)
        for number in range(count):
            image = np.full((96, 128, 3), glass if part == parts[0] else (255, 240, 90), np.uint8)
            disc(image, 40, 40 + number, 18, (70, 30, 110))
            disc(image, 100, 40, 16, (170, 120, 120))
            path = folder / part / f"BloodImage_{number + 100 * len(part):05d}"
            Image.fromarray(image).save(path.with_suffix(".jpg"), quality=98)
            write_text(path.with_suffix(".xml"), voc_xml(f"{path.name}.jpg", (128, 96), [("WBC", (22, 22, 58, 58), 0)]))
    return folder


def test_stains_are_those_of_the_training_pictures_that_are_there_for_their_colours(workshop, paths, tmp_path):
    given = paths | {"fields": write_smears(tmp_path / "smears", (205, 208, 203))}
    made = workshop(*IN_OTHER_COLOURS, given=given, roles=(CLASSIFIER,))
    stains = made.stains(made.classifier_recipe.training)
    assert len(stains) == len(made.splits["fields"].train) < 6
    assert all(np.allclose(stain.glass, (205, 208, 203), atol=3) for stain in stains)
    assert made.data_sets.keys() == {"fields", "cells"}
    assert made.stains(made.detector_recipe.training) == ()
    assert workshop(given=given).stains(made.detector_recipe.training) == ()


def test_pictures_for_their_colours_are_asked_for_by_a_training_and_not_by_who_only_measures(workshop, paths):
    alone = workshop(*IN_OTHER_COLOURS, given={"cells": paths["cells"]}, roles=(CLASSIFIER,))
    assert len(alone.crops("val")) > 0
    with pytest.raises(UserError, match="needs --data fields=PATH for its colours"):
        alone.train_classifier()
    assert not (alone.folder / CLASSIFIER).exists()


def test_a_detector_is_shown_its_pictures_in_the_stains_of_others(workshop, paths, tmp_path):
    smears = write_smears(tmp_path / "smears", (205, 208, 203))
    stained = (
        ('use = ["classifier"]', 'use = ["classifier", "colours"]'),
        ("[detector.training]\n", "[detector.training]\nother_stains = 1.0\n"),
    )
    alone = workshop(*stained, given={"fields": smears}, roles=(DETECTOR,))
    with pytest.raises(UserError, match="needs --data cells=PATH for its colours"):
        alone.train_detector()
    assert not (alone.folder / DETECTOR).exists()
    made = workshop(*stained, given=paths | {"fields": smears}, roles=(DETECTOR,))
    assert made.data_sets.keys() == {"fields", "cells"}
    assert workshop(*IN_OTHER_COLOURS, given=paths, roles=(DETECTOR,)).data_sets.keys() == {"fields"}


def test_pictures_that_show_no_stain_are_refused(workshop, paths, tmp_path):
    blank = write_smears(tmp_path / "blank", (205, 208, 203))
    for number, path in enumerate(sorted(blank.rglob("*.jpg"))):
        Image.fromarray(np.full((96, 128, 3), 180 + number, np.uint8)).save(path)
    with pytest.raises(UserError, match="No picture of fields shows glass, red cells and nuclei"):
        workshop(*IN_OTHER_COLOURS, given=paths | {"fields": blank}).train_classifier()


@pytest.mark.slow
def test_an_interrupted_training_goes_on_where_it_was_and_ends_the_same(workshop):
    class Interrupted(Exception):
        pass

    def stop(step):
        raise Interrupted

    whole = workshop(folder="whole")
    with pytest.raises(Interrupted):
        workshop(progress=stop).train_detector()
    with pytest.raises(Interrupted):
        workshop(progress=stop).train_classifier()
    steps = []
    resumed = workshop(progress=steps.append)
    assert same(resumed.train_detector(), whole.train_detector())
    assert same(resumed.train_classifier(), whole.train_classifier())
    assert [step.number for step in steps] == [8, 8]
    again = workshop(progress=stop)
    assert same(again.train_classifier(), whole.train_classifier())


def test_published_parts_stay_and_what_is_not_published_is_taken_out_of_the_training(workshop):
    split = workshop().splits["fields"]
    assert names(split.test) == {"BloodImage_00006.jpg", "BloodImage_00007.jpg"}
    assert len(split.train) + len(split.val) == 6
    assert len(split.val) >= 1


def test_no_picture_is_in_two_parts_not_even_under_another_name(workshop):
    split = workshop().splits["cells"]
    sides = [getattr(split, part) for part in PARTS]
    assert all(sides)
    content = [{p.image.path.read_bytes() for p in side} for side in sides]
    assert not content[0] & content[1]
    assert not content[0] & content[2]
    assert not content[1] & content[2]
    assert sum(map(len, sides)) == 30
    assert sum(map(len, content)) == 27


def test_the_split_depends_on_the_seed_of_the_recipe_alone(workshop, tmp_path, paths):
    moved = shutil.copytree(paths["cells"], tmp_path / "moved")
    here = workshop().splits["cells"]
    there = workshop(given=paths | {"cells": moved}).splits["cells"]
    other = workshop(("seed = 3", "seed = 4")).splits["cells"]
    assert [names(getattr(here, part)) for part in PARTS] == [names(getattr(there, part)) for part in PARTS]
    assert names(here.test) != names(other.test)


def test_data_that_are_missing_are_named_as_they_are_typed(workshop, paths):
    with pytest.raises(UserError, match="--data fields=PATH"):
        _ = workshop(given={"cells": paths["cells"]}).data_sets
    with pytest.raises(UserError, match="--data fields=PATH, --data cells=PATH"):
        _ = workshop(given={}).data_sets


def test_data_that_the_recipe_does_not_know_are_refused_by_name(workshop, paths):
    with pytest.raises(UserError, match=r"--data bccd:.*no \[data.bccd\]; it has fields, cells"):
        _ = workshop(given=paths | {"bccd": paths["fields"]}).data_sets


def test_one_network_asks_for_its_own_data_only(workshop, paths):
    alone = workshop(given={"cells": paths["cells"]}, roles=(CLASSIFIER,))
    assert len(alone.crops("train")) > 0
    with pytest.raises(UserError, match="no data for the detector"):
        alone.marked("train")


def test_a_path_with_nothing_there_is_refused_by_name(workshop, paths, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        _ = workshop(given=paths | {"cells": tmp_path / "nowhere"}).data_sets


def test_a_network_that_the_recipe_does_not_have_is_refused(workshop):
    text_without = RECIPE[RECIPE.index("[detector]") : RECIPE.index("[classifier]")]
    with pytest.raises(UserError, match=r"small has no \[detector\]"):
        workshop((text_without, "")).train_detector()


def test_labels_are_those_of_the_training_data_in_the_order_of_the_taxonomy(workshop):
    assert workshop().labels == ("erythroblast", "lymphocyte", "monocyte")


def test_a_label_with_few_cells_is_left_out(workshop, paths, tmp_path):
    shutil.copytree(paths["cells"], tmp_path / "few")
    write_cells(tmp_path / "more", ("BLA",), 4)
    (tmp_path / "more" / "BLA").rename(tmp_path / "few" / "BLA")
    given = paths | {"cells": tmp_path / "few"}
    assert "blast" in workshop(given=given).labels
    enough = workshop(("margin_px = 4", "margin_px = 4\nleast_cells = 5"), given=given)
    assert enough.labels == ("erythroblast", "lymphocyte", "monocyte")
    # Its cells take no part then.
    assert set(enough.crops("train").classes.tolist()) == {0, 1, 2}


def test_labels_that_the_recipe_names_are_taken_in_its_order(workshop):
    named = workshop(("margin_px = 4", 'margin_px = 4\nlabels = ["monocyte", "erythroblast"]'))
    assert named.labels == ("monocyte", "erythroblast")
    crops = named.crops("train")
    assert set(crops.classes.tolist()) == {0, 1}
    assert crops.labels == named.labels


def test_a_named_label_that_is_no_label_is_refused(workshop):
    with pytest.raises(UserError, match="monozyte"):
        _ = workshop(("margin_px = 4", 'margin_px = 4\nlabels = ["monozyte", "erythroblast"]')).labels


def test_one_label_is_no_classifier(workshop, paths, tmp_path):
    write_cells(tmp_path / "one", ("LYT",))
    with pytest.raises(UserError, match="1 labels of bmc21; two are needed"):
        _ = workshop(given=paths | {"cells": tmp_path / "one"}).labels


def test_labels_of_another_taxonomy_are_told_by_the_spelling_of_the_data(workshop, paths, tmp_path):
    # PBC's names of the folders, of which the taxonomy of the recipe knows each.
    write_cells(tmp_path / "spelt", ("lymphocyte", "monocyte", "myelocyte"))
    changes = [('taxonomy = "bmc21"\num', 'taxonomy = "pbc11"\num')]
    spelt = workshop(*changes, given=paths | {"cells": tmp_path / "spelt"})
    assert spelt.labels == ("lymphocyte", "monocyte", "myelocyte")
    assert spelt.data_sets["cells"].taxonomy.name == "pbc11"
    assert (spelt.crops("train").classes != MISSING).all()


def test_a_spelling_that_the_recipes_taxonomy_does_not_know_is_refused_by_name(workshop, paths, tmp_path):
    write_cells(tmp_path / "spelt", ("lymphocyte", "platelet"))
    changes = [('taxonomy = "bmc21"\num', 'taxonomy = "pbc11"\num')]
    with pytest.raises(UserError, match=r"bmc21 does not know.*platelet"):
        _ = workshop(*changes, given=paths | {"cells": tmp_path / "spelt"}).labels


def test_without_a_pixel_size_the_picture_and_the_table_are_named(workshop):
    silent = workshop(
        ('use = ["classifier"]\ntaxonomy = "bmc21"\num_per_px = 0.25\n', 'use = ["classifier"]\ntaxonomy = "bmc21"\n')
    )
    with pytest.raises(UserError, match=r"\.png.*um_per_px"):
        silent.crops("train")


def test_pixels_are_kept_in_the_work_folder(workshop):
    first = workshop()
    assert len(first.crops("val")) == len(workshop().crops("val"))
    first.marked("val")
    kept = {p.relative_to(first.folder).as_posix() for p in first.folder.rglob("*.npy")}
    assert kept == {"pixels/val-classifier/crops.npy", "pixels/fields-val-detector/pictures.npy"}


def test_attributes_that_no_cell_states_get_a_head_and_are_missing_everywhere(workshop):
    crops = workshop(("margin_px = 4", 'margin_px = 4\nattributes = "lld7"')).crops("train")
    assert len(crops.attributes) == 7
    assert all((values == MISSING).all() for values in crops.attributes.values())


def test_the_state_of_a_training_is_plain_json(workshop):
    made = workshop(("evaluate_every = 4\n\n[classifier]", "evaluate_every = 8\n\n[classifier]"))
    made.train_detector()
    state = json.loads((made.folder / DETECTOR / "state.json").read_text())
    assert (state["step"], state["steps"], state["since"]) == (8, 8, 0)
    assert 0 <= state["best"] <= 1
