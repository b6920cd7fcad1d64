import dataclasses

import pytest

from marrow_models.classification import VIEWS
from marrow_models.datasets.attributes import load_schema
from marrow_models.datasets.readers import READERS
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy
from marrow_models.training.recipe_file import RECIPE, load_recipe, shipped_recipes

WHOLE = """
name = "mine"
version = "1.0.0"
title = "My cells"
licence = "CC0-1.0"
taxonomy = "pbc11"
slide_um_per_px = [0.05, 0.30]
seed = 7
limits = ["few"]

[data.fields]
layout = "bccd"
use = ["detector"]
um_per_px = 0.078

[data.cells]
layout = "class_folder"
use = ["classifier"]
taxonomy = "pbc11"
shares = [0.7, 0.2, 0.1]
um_per_px_by_domain = {near = 0.1, far = 0.2}

[detector]
um_per_px = 0.25
kinds = ["nucleated", "platelet"]

[detector.training]
window_px = 128
planes = [8, 16, 32]
blocks = [1, 2]

[detector.training.effort]
steps = 100
batch = 4
evaluate_every = 20
patience = 3
restarts = [40, 80]

[detector.training.variety]
turns = true
log_scale = 0.1

[classifier]
um_per_px = 0.2
crop_px = 64
attributes = "wbcatt11"

[classifier.training]
network = "ResNet50Crops"
planes = [8, 16]
blocks = [1]

[classifier.training.effort]
steps = 200
batch = 8

[classifier.training.variety]
noise = 2.0

[classifier.training.start]
path = "/weights/resnet50.safetensors"
sha256 = "00"
licence = "BSD-3-Clause"

[survey]
um_per_px = 1.0
field_um = 128.0
nucleus_um2 = 60.0
nucleus_density = 0.06
largest_dark_share = 0.9
least_sharpness = 0.1
"""
TABLES = [line.strip("[]") for line in WHOLE.splitlines() if line.startswith("[")]


def written(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def changed(old, new):
    assert WHOLE.count(old) == 1, old
    return WHOLE.replace(old, new)


def in_table(table, line):
    """The recipe with another line in a table; ``''`` is the top."""
    return changed(f"[{table}]\n", f"[{table}]\n{line}\n") if table else line + WHOLE


def test_what_the_file_says_is_what_the_training_gets(tmp_path):
    recipe = load_recipe(written(tmp_path, WHOLE))
    assert (recipe.name, recipe.seed, recipe.limits, recipe.base) == ("mine", 7, ("few",), "phantom")
    assert recipe.slide_um_per_px == (0.05, 0.30)
    fields, cells = recipe.data["fields"], recipe.data["cells"]
    assert (fields.layout, fields.use, fields.options.um_per_px) == ("bccd", ("detector",), 0.078)
    assert fields.shares == (0.8, 0.1, 0.1)
    assert cells.shares == (0.7, 0.2, 0.1)
    assert cells.options.taxonomy == "pbc11"
    assert cells.options.um_per_px_by_domain == (("far", 0.2), ("near", 0.1))
    detector, classifier = recipe.detector, recipe.classifier
    assert detector.kinds == ("nucleated", "platelet")
    assert detector.training.planes == (8, 16, 32)
    assert detector.training.effort.restarts == (40, 80)
    assert detector.training.effort.patience == 3
    assert detector.training.variety.turns
    assert detector.training.variety.log_scale == 0.1
    assert classifier.training.variety.noise == 2.0
    assert classifier.training.effort.steps == 200
    assert classifier.attributes == "wbcatt11"
    assert classifier.training.start.licence == "BSD-3-Clause"
    assert recipe.survey.blue_share == 0


def test_a_folder_with_a_recipe_is_as_good_as_its_file(tmp_path):
    written(tmp_path, WHOLE, RECIPE)
    assert load_recipe(tmp_path) == load_recipe(tmp_path / RECIPE)


def test_a_recipe_may_train_one_network_only(tmp_path):
    text = WHOLE[: WHOLE.index("[classifier]")] + WHOLE[WHOLE.index("[survey]") :]
    recipe = load_recipe(written(tmp_path, text))
    assert recipe.classifier is None
    assert recipe.detector is not None


@pytest.mark.parametrize("table", ["", *TABLES])
def test_a_key_that_is_not_known_is_refused_by_name_wherever_it_stands(tmp_path, table):
    path = written(tmp_path, in_table(table, "learning_speed = 3"))
    with pytest.raises(UserError, match=r"mine\.toml.*'learning_speed' is not known here; known are ") as refused:
        load_recipe(path)
    for part in table.split("."):
        assert part in str(refused.value)


def test_a_table_that_is_not_known_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"'detektor' is not known.*detector"):
        load_recipe(written(tmp_path, WHOLE + "[detektor]\num_per_px = 0.2\n"))
    with pytest.raises(UserError, match=r"'augment' is not known.*variety"):
        load_recipe(written(tmp_path, WHOLE + "[classifier.training.augment]\nturns = true\n"))


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('name = "mine"\n', "name"),
        ('taxonomy = "pbc11"\nslide', "taxonomy"),
        ('layout = "bccd"\n', "data.fields.layout"),
        ("um_per_px = 0.25\n", "detector.um_per_px"),
        ("steps = 200\n", "classifier.training.effort.steps"),
        ("crop_px = 64\n", "classifier.crop_px"),
        ("field_um = 128.0\n", "survey.field_um"),
    ],
)
def test_a_key_that_is_missing_is_named(tmp_path, line, key):
    text = changed(line, "slide" if line.endswith("slide") else "")
    with pytest.raises(UserError, match=f"mine.toml: {key}: ") as refused:
        load_recipe(written(tmp_path, text))
    assert "required" in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("seed = 7", 'seed = "lucky"', "seed"),
        ("slide_um_per_px = [0.05, 0.30]", "slide_um_per_px = 0.3", "slide_um_per_px"),
        ("slide_um_per_px = [0.05, 0.30]", "slide_um_per_px = [0.05]", "slide_um_per_px"),
        ('limits = ["few"]', 'limits = "few"', "limits"),
        ("um_per_px = 0.078", 'um_per_px = "small"', "data.fields.um_per_px"),
        ("shares = [0.7, 0.2, 0.1]", "shares = [0.7, 0.3]", "data.cells.shares"),
        ("far = 0.2", 'far = "far"', "data.cells.um_per_px_by_domain.far"),
        ("steps = 100\n", "steps = 10.5\n", "detector.training.effort.steps"),
        ("steps = 200\n", "steps = []\n", "classifier.training.effort.steps"),
        ("log_scale = 0.1", 'log_scale = "much"', "detector.training.variety.log_scale"),
        ("planes = [8, 16, 32]", "planes = 8", "detector.training.planes"),
        ("field_um = 128.0", "field_um = true_", None),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_by_name(tmp_path, old, new, key):
    path = written(tmp_path, changed(old, new))
    with pytest.raises(UserError, match=rf"mine\.toml: {key}" if key else r"mine\.toml: not a TOML file"):
        load_recipe(path)


def test_a_table_that_should_be_one_is_refused_by_name(tmp_path):
    text = "detector = 3\n" + WHOLE[: WHOLE.index("[detector]")] + WHOLE[WHOLE.index("[survey]") :]
    with pytest.raises(UserError, match=r"mine\.toml: detector"):
        load_recipe(written(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('use = ["detector"]', 'use = ["detection"]', "data.fields.use: 'detection' is none of detector, classifier"),
        ('["nucleated", "platelet"]', '["nucleated", "plate"]', "detector.kinds: 'plate' is none of nucleated"),
        ('["nucleated", "platelet"]', '["platelet", "nucleated"]', "detector.kinds must begin with 'nucleated'"),
        ('["nucleated", "platelet"]', "[]", "detector.kinds must begin with 'nucleated'"),
        ('["nucleated", "platelet"]', '["nucleated", "nucleated"]', "each kind once"),
        ("window_px = 128", "window_px = 100", "detector.training.window_px must be a multiple of 8"),
        ("window_px = 128", "window_px = 0", "detector.training.window_px must be a multiple of 8"),
        ("crop_px = 64", "crop_px = 72", "classifier.crop_px must be a multiple of 16"),
        ("crop_px = 64", "crop_px = -16", "classifier.crop_px must be a multiple of 16"),
        ("crop_px = 64", "crop_px = 64\nmargin_px = -1", "classifier.margin_px"),
        ("crop_px = 64", f"crop_px = 64\nviews = {VIEWS + 1}", f"classifier.views must be from 1 to {VIEWS}"),
        ("crop_px = 64", "crop_px = 64\nviews = 0", "classifier.views"),
        ("um_per_px = 0.25", "um_per_px = 0.0", "detector.um_per_px must be above 0"),
        ("um_per_px = 0.2\n", "um_per_px = -0.2\n", "classifier.um_per_px must be above 0"),
        ("um_per_px = 0.078", "um_per_px = 0.0", "data.fields: um_per_px must be above 0"),
        ("far = 0.2", "far = -0.2", "data.cells: um_per_px must be above 0"),
        ("[0.05, 0.30]", "[0.30, 0.05]", "slide_um_per_px must be the finest and the coarsest"),
        ("um_per_px = 0.25\n", "um_per_px = 0.25\nlargest_um = 0\n", "detector.largest_um"),
        ("blocks = [1, 2]", "blocks = [1]", "detector.training.planes"),
        ("planes = [8, 16]", "planes = [8, 16, 32]", "classifier.training.planes"),
        ('"ResNet50Crops"', '"Crop"', "classifier.training.network: 'Crop' is none of CropNet"),
        ('"ResNet50Crops"', '"CropNet"', "classifier.training.start: no weights are published"),
        ("steps = 100", "steps = 0", "detector.training.effort: steps and batch"),
        ("batch = 8", "batch = 0", "classifier.training.effort: steps and batch"),
        ("batch = 8", "batch = 8\nlearning_rate = 0", "classifier.training.effort.learning_rate"),
        ("batch = 8", "batch = 8\nrounded_from = 85", "classifier.training.effort.rounded_from must be from 0 to 1"),
        ("batch = 8", "batch = 8\npatience = 3", "classifier.training.effort.patience needs evaluate_every"),
        ("evaluate_every = 20", "evaluate_every = -1", "detector.training.effort: evaluate_every"),
        ("blocks = [1]\n", "blocks = [1]\nweight_digits = 3\n", "classifier.training.weight_digits must be 1 or 2"),
        ("blocks = [1, 2]\n", "blocks = [1, 2]\nweight_digits = 0\n", "detector.training.weight_digits must be 1 or 2"),
        ("noise = 2.0", "noise = 2.0\ncoarser = 0.5\ncoarsest_um_per_px = 0.2", "coarsest_um_per_px above"),
        ("noise = 2.0", "noise = 2.0\ncoarser = 1.5\ncoarsest_um_per_px = 0.3", "coarser must be from 0 to 1"),
        ("noise = 2.0", "noise = 2.0\ncoarser = 0.5\ncoarsest_um_per_px = 0.4", "must not be above slide_um_per_px"),
        ("noise = 2.0", "noise = 2.0\nsofter = 1.1", "classifier.training.variety: softer must be from 0 to 1"),
        ("log_scale = 0.1", "log_scale = 0.1\nsofter = 0.5\nsoftest = 0", "softest above 0"),
        ("crop_px = 64", "crop_px = 64\nleast_contrast = 1.5", "classifier.least_contrast must be from 0 to 1"),
        (
            'use = ["detector"]',
            'use = ["detector", "colours"]',
            "other_stains needs a data set with 'colours' in its use",
        ),
        ("blocks = [1]", "blocks = [1]\nother_stains = 0.5", "other_stains needs a data set with 'colours' in its use"),
        ("blocks = [1, 2]", "blocks = [1, 2]\nother_stains = 0.5", "needs a data set with 'colours' in its use"),
        ("blocks = [1]", "blocks = [1]\nother_stains = 1.5", "other_stains"),
        ("log_scale = 0.1", "log_scale = 0.1\ncoarser = 0.5", "detector.training.variety: coarser is for classifiers"),
        ("blocks = [1]\n", "blocks = [1]\nweight_digits = 1\n", "weight_digits: only a CropNet"),
        ("blocks = [1]\n", 'blocks = [1]\ncontinue_from = {bundle = "blood"}\n', "start or continue_from, not both"),
        (
            "blocks = [1, 2]\n",
            'blocks = [1, 2]\ncontinue_from = {bundle = "blood"}\n',
            "detector.training.continue_from needs kinds in the order of nucleated",
        ),
        ("restarts = [40, 80]", "restarts = [80, 40]", "detector.training.effort.restarts must rise"),
        ("restarts = [40, 80]", "restarts = [40, 100]", "detector.training.effort.restarts must rise"),
        ("batch = 8", 'batch = 8\nprecision = "half"', "'half' is none of float32, bfloat16"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(tmp_path, old, new, rule):
    with pytest.raises(UserError) as refused:
        load_recipe(written(tmp_path, changed(old, new)))
    assert str(refused.value).startswith("mine.toml: ")
    assert rule in str(refused.value)


def test_a_recipe_that_is_not_there_says_which_are(tmp_path):
    with pytest.raises(UserError, match=r"no such recipe.*blood"):
        load_recipe("bloood")
    with pytest.raises(UserError, match="no such recipe"):
        load_recipe(tmp_path)


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    path = tmp_path / "photo.toml"
    for content in (b"name = ", b"\xff\xfe\x00"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"photo\.toml: not a TOML file"):
            load_recipe(path)


def test_recipes_come_with_marrow():
    assert {"blood", "marrow33", "mll23", "lld14", "all4"} <= set(shipped_recipes())


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_names_what_there_is(name):
    recipe = load_recipe(name)
    trainings = [network.training for network in (recipe.detector, recipe.classifier) if network]
    assert recipe.name in (name, *(t.continue_from.bundle for t in trainings if t.continue_from))
    taxonomy = load_taxonomy(recipe.taxonomy)
    assert {use.layout for use in recipe.data.values()} <= READERS.keys() | {"phantom"}
    for role in ("detector", "classifier"):
        assert (getattr(recipe, role) is not None) == any(role in use.use for use in recipe.data.values())
    if recipe.classifier:
        assert set(recipe.classifier.labels) <= set(taxonomy.labels)
        if recipe.classifier.attributes:
            assert load_schema(recipe.classifier.attributes).values
    for use in recipe.data.values():
        assert sum(use.shares) == pytest.approx(1)


def test_the_recipe_of_these_tests_has_every_table_that_there_is(tmp_path):
    """What is refused above is refused at every level."""

    def tables(value, prefix=""):
        for field in dataclasses.fields(value):
            part = getattr(value, field.name)
            if dataclasses.is_dataclass(part):
                yield prefix + field.name
                yield from tables(part, f"{prefix}{field.name}.")
            assert part is not None or field.name in ("um_per_px", "taxonomy", "attributes", "start", "continue_from")

    recipe = load_recipe(written(tmp_path, WHOLE))
    assert {*tables(recipe), "data.fields", "data.cells"} == set(TABLES)
