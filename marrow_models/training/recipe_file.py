"""Recipes: what a bundle is made of, as a TOML file that people write and a training obeys.

The tables of the file are the dataclasses below. A key that is not known is refused by name: a misspelt setting that
is silently left out would train another model than the one that was meant.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from marrow_models.classification import VIEWS
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from marrow_models.model_settings import LARGEST_CONTRAST, SurveySettings
from marrow_models.training.augment import Variety
from marrow_models.training.classifier import NETWORKS, ClassifierTraining
from marrow_models.training.detector import DetectorTraining
from marrow_models.training.loop import PRECISIONS, Effort
from marrow_models.training.pictures import KINDS

RECIPES = Path(__file__).parent.parent / "recipes"
RECIPE = "recipe.toml"
DETECTOR, CLASSIFIER = "detector", "classifier"
COLOURS = "colours"
"""Use of pictures in whose stains a network is shown its cells; nothing that is marked in them is looked at."""
USES = (DETECTOR, CLASSIFIER, COLOURS)


@dataclass(frozen=True, slots=True)
class DataUse:
    """One data set: ``[data.NAME]``; its path is given on the command line as ``--data NAME=PATH``."""

    layout: str
    """A name of :data:`marrow_models.datasets.readers.READERS`."""
    use: tuple[str, ...] = (DETECTOR, CLASSIFIER)
    """Which networks learn from it, and whether they are shown its colours."""
    taxonomy: str | None = None
    um_per_px: float | None = None
    um_per_px_by_domain: Mapping[str, float] = field(default_factory=dict)
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Of the patients for training, validation and test, where the authors give no split."""

    @property
    def options(self) -> ReadOptions:
        """What the reader is told."""
        return ReadOptions(self.taxonomy, self.um_per_px, tuple(sorted(self.um_per_px_by_domain.items())))


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """``[detector]``: what is looked for and how that is learned."""

    um_per_px: float
    training: DetectorTraining
    kinds: tuple[str, ...] = KINDS[:1]
    largest_um: float = 40.0
    duplicate_um: float = 12.0


@dataclass(frozen=True, slots=True)
class ClassifierRecipe:
    """``[classifier]``: what is told of a cell and how that is learned."""

    um_per_px: float
    crop_px: int
    training: ClassifierTraining
    margin_px: int = 0
    views: int = 1
    labels: tuple[str, ...] = ()
    """Of the taxonomy; none named: those that occur in the training data."""
    attributes: str | None = None
    """Name of a schema of morphology attributes, as ``wbcatt11``."""
    least_cells: int = 1
    """A label with fewer cells in the training data is left out."""
    least_contrast: float = 0.0
    """Local contrast up to which softer crops are sharpened, in training and in use; 0: none is."""


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """The whole file."""

    name: str
    version: str
    title: str
    licence: str
    taxonomy: str
    """Of the classifier's labels."""
    slide_um_per_px: tuple[float, float]
    """Finest and coarsest slide that the models may read."""
    data: Mapping[str, DataUse]
    survey: SurveySettings
    detector: DetectorRecipe | None = None
    classifier: ClassifierRecipe | None = None
    base: str = "phantom"
    """The bundle that lends what this recipe does not train."""
    seed: int = 1
    limits: tuple[str, ...] = ()


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with Marrow."""
    return tuple(sorted(path.parent.name for path in RECIPES.glob(f"*/{RECIPE}")))


def load_recipe(name_or_path: str | Path) -> RecipeFile:
    """A shipped recipe by its name, or the TOML file at a path.

    Raises
    ------
    UserError
        It is not there, is not TOML, has a key that is not known, lacks one, or holds a value that cannot be.
    """
    path = RECIPES / str(name_or_path) / RECIPE
    if not path.is_file():
        path = Path(name_or_path)
        path = path / RECIPE if path.is_dir() else path
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(
            f"--config {name_or_path}: no such recipe; shipped are {', '.join(shipped_recipes())}, or give a TOML file."
        ) from None
    except ValueError as error:
        raise UserError(f"{path.name}: not a TOML file ({error}). Correct it.") from None
    _refuse_unknown(RecipeFile, content, path.name)
    try:
        recipe = TypeAdapter(RecipeFile).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path.name}: {where}: {first['msg']}.") from None
    _check(recipe, path.name)
    return recipe


def _check(recipe: RecipeFile, where: str) -> None:
    unknown: list[tuple[str, str, tuple[str, ...]]] = [
        (f"data.{name}.use", value, USES) for name, use in recipe.data.items() for value in use.use if value not in USES
    ]
    kinds = recipe.detector.kinds if recipe.detector else ()
    unknown += [("detector.kinds", kind, KINDS) for kind in kinds if kind not in KINDS]
    if recipe.classifier and recipe.classifier.training.network not in NETWORKS:
        unknown.append(("classifier.training.network", recipe.classifier.training.network, tuple(NETWORKS)))
    for key, value, known in unknown:
        raise UserError(f"{where}: {key}: {value!r} is none of {', '.join(known)}.")
    if recipe.classifier and recipe.classifier.training.start and recipe.classifier.training.network == "CropNet":
        raise UserError(f"{where}: classifier.training.start: no weights are published for a CropNet.")
    for broken, rule in (*_rules(recipe), *_detector_rules(recipe.detector), *_classifier_rules(recipe.classifier)):
        if broken:
            raise UserError(f"{where}: {rule}.")


Rules = list[tuple[bool, str]]
"""Whether a rule is broken, and the rule in words."""


def _rules(recipe: RecipeFile) -> Rules:
    finest, coarsest = recipe.slide_um_per_px
    sizes = [
        (name, size)
        for name, use in recipe.data.items()
        for size in (use.um_per_px, *use.um_per_px_by_domain.values())
        if size is not None
    ]
    return [
        (not 0 < finest < coarsest, "slide_um_per_px must be the finest and the coarsest pixel size, both above 0"),
        (
            recipe.classifier is not None and recipe.classifier.training.variety.coarsest_um_per_px > coarsest,
            "classifier.training.variety.coarsest_um_per_px must not be above slide_um_per_px",
        ),
        (
            any(network.training.other_stains for network in (recipe.detector, recipe.classifier) if network)
            != any(COLOURS in use.use for use in recipe.data.values()),
            f"training.other_stains needs a data set with {COLOURS!r} in its use, and that needs it",
        ),
        *((size <= 0, f"data.{name}: um_per_px must be above 0") for name, size in sizes),
    ]


def _detector_rules(recipe: DetectorRecipe | None) -> Rules:
    if recipe is None:
        return []
    training = recipe.training
    return [
        (recipe.um_per_px <= 0, "detector.um_per_px must be above 0"),
        # The first kind is the one that is classified and counted.
        (recipe.kinds[:1] != KINDS[:1], f"detector.kinds must begin with {KINDS[0]!r}"),
        (len(set(recipe.kinds)) < len(recipe.kinds), "detector.kinds must name each kind once"),
        (min(recipe.largest_um, recipe.duplicate_um) <= 0, "detector.largest_um and duplicate_um must be above 0"),
        (training.window_px < 8 or training.window_px % 8 > 0, "detector.training.window_px must be a multiple of 8"),
        (
            (len(training.planes), len(training.blocks)) != (3, 2),
            "detector.training.planes must be three numbers and blocks two",
        ),
        _digits_rule("detector", training.weight_digits),
        _stains_rule("detector", training.other_stains),
        _softer_rule("detector", training.variety),
        (training.variety.coarser > 0, "detector.training.variety: coarser is for classifiers only"),
        (
            training.continue_from is not None and recipe.kinds != KINDS[: len(recipe.kinds)],
            f"detector.training.continue_from needs kinds in the order of {', '.join(KINDS)}",
        ),
        *_effort_rules("detector", training.effort),
    ]


def _classifier_rules(recipe: ClassifierRecipe | None) -> Rules:
    if recipe is None:
        return []
    training = recipe.training
    return [
        (recipe.um_per_px <= 0, "classifier.um_per_px must be above 0"),
        (recipe.crop_px < 16 or recipe.crop_px % 16 > 0, "classifier.crop_px must be a multiple of 16"),
        (recipe.margin_px < 0, "classifier.margin_px must not be below 0"),
        (recipe.views not in range(1, VIEWS + 1), f"classifier.views must be from 1 to {VIEWS}"),
        (
            len(training.planes) != len(training.blocks) + 1,
            "classifier.training.planes must be one number more than blocks",
        ),
        _digits_rule("classifier", training.weight_digits),
        (
            training.weight_digits == 1 and training.network != "CropNet",
            "classifier.training.weight_digits: only a CropNet is computed in digits",
        ),
        (
            training.start is not None and training.continue_from is not None,
            "classifier.training: give start or continue_from, not both",
        ),
        _coarser_rule(recipe),
        (
            not 0 <= recipe.least_contrast <= LARGEST_CONTRAST,
            f"classifier.least_contrast must be from 0 to {LARGEST_CONTRAST:g}",
        ),
        _softer_rule("classifier", training.variety),
        _stains_rule("classifier", training.other_stains),
        *_effort_rules("classifier", training.effort),
    ]


def _digits_rule(role: str, weight_digits: int) -> tuple[bool, str]:
    return weight_digits not in (1, 2), f"{role}.training.weight_digits must be 1 or 2"


def _stains_rule(role: str, other_stains: float) -> tuple[bool, str]:
    return not 0 <= other_stains <= 1, f"{role}.training.other_stains must be from 0 to 1"


def _softer_rule(role: str, variety: Variety) -> tuple[bool, str]:
    return (
        not (0 <= variety.softer <= 1 and 0 < variety.softest <= 1),
        f"{role}.training.variety: softer must be from 0 to 1, and softest above 0 and at most 1",
    )


def _coarser_rule(recipe: ClassifierRecipe) -> tuple[bool, str]:
    variety = recipe.training.variety
    return (
        not 0 <= variety.coarser <= 1 or (variety.coarser > 0 and variety.coarsest_um_per_px <= recipe.um_per_px),
        "classifier.training.variety: coarser must be from 0 to 1, and coarsest_um_per_px above classifier.um_per_px",
    )


def _effort_rules(role: str, effort: Effort) -> Rules:
    key = f"{role}.training.effort"
    rising = sorted({step for step in effort.restarts if 0 < step < effort.steps})
    return [
        (min(effort.steps, effort.batch) < 1, f"{key}: steps and batch must be 1 or more"),
        (effort.learning_rate <= 0, f"{key}.learning_rate must be above 0"),
        (not 0 <= effort.rounded_from <= 1, f"{key}.rounded_from must be from 0 to 1"),
        (
            min(effort.evaluate_every, effort.patience, effort.workers) < 0,
            f"{key}: evaluate_every, patience and workers must not be below 0",
        ),
        (effort.patience > 0 and not effort.evaluate_every, f"{key}.patience needs evaluate_every"),
        (list(effort.restarts) != rising, f"{key}.restarts must rise and lie between 0 and steps"),
        (
            effort.precision not in PRECISIONS,
            f"{key}.precision: {effort.precision!r} is none of {', '.join(PRECISIONS)}",
        ),
    ]


def _refuse_unknown(kind: Any, content: object, where: str) -> None:
    """Raise UserError for the first key of ``content`` that the dataclass ``kind`` has no field for."""
    if not isinstance(content, dict):
        return
    if typing.get_origin(kind) is Mapping:
        for key, value in content.items():
            _refuse_unknown(typing.get_args(kind)[1], value, f"{where}: {key}")
        return
    for option in filter(dataclasses.is_dataclass, (kind, *typing.get_args(kind))):
        hints = typing.get_type_hints(option)
        for key, value in content.items():
            if key not in hints:
                raise UserError(f"{where}: {key!r} is not known here; known are {', '.join(hints)}.")
            _refuse_unknown(hints[key], value, f"{where}: {key}")
