"""From a recipe and data sets to trained and tuned networks: read, share out, train, tune."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from marrow_models.classification import CLASS_HEAD, Classifier
from marrow_models.datasets.attributes import load_schema
from marrow_models.datasets.images import read_image
from marrow_models.datasets.readers import read_data_set
from marrow_models.datasets.records import AttributeSchema, DataSet, Picture
from marrow_models.datasets.splits import Split, split_pictures
from marrow_models.detection import Detector
from marrow_models.errors import UserError
from marrow_models.evaluation.boxes import BoxFigures
from marrow_models.model_settings import ClassifierSettings, DetectorSettings
from marrow_models.networks.digits import fast_where_equal
from marrow_models.networks.heatmap import HeatmapNet
from marrow_models.networks.lattice import fold
from marrow_models.taxonomy import Taxonomy, load_taxonomy
from marrow_models.training.classifier import ClassifierNetwork, ClassifierTraining, train_classifier
from marrow_models.training.crops import CropSet, CropShape, crops_of_pictures, examples_of
from marrow_models.training.detector import DetectorTraining, train_detector
from marrow_models.training.go_on import opened
from marrow_models.training.loop import Run, Step, has_begun
from marrow_models.training.measure import fitted_temperature, judge_classes, judge_detector, told
from marrow_models.training.pictures import MarkedPictures, marked_pictures
from marrow_models.training.recipe_file import (
    CLASSIFIER,
    COLOURS,
    DETECTOR,
    ClassifierRecipe,
    DataUse,
    DetectorRecipe,
    RecipeFile,
)
from marrow_models.training.stains import Stain, stains_of

REPORT_EVERY = 50
"""Steps between two checkpoints."""
BETWEEN_CHECKPOINTS_S = 10.0
"""A GPU takes 50 steps in less time than writing them down is worth."""
UNTUNED_SCORE = 0.05
PARTS = ("train", "val", "test")

Progress = Callable[[Step], None]


@dataclass(frozen=True)
class Workshop:
    """A recipe, its data and a folder that keeps pixels and checkpoints, so that a training goes on where it was."""

    recipe: RecipeFile
    paths: Mapping[str, Path]
    """Name of a ``[data.NAME]`` to where it lies."""
    folder: Path
    roles: tuple[str, ...] = (DETECTOR, CLASSIFIER)
    """The networks that are trained or measured: only their data are needed."""
    progress: Progress = field(default=lambda step: None)
    scanner_um_per_px: float | None = None
    """Cells are cut out of pictures that were averaged to this pixel size first, where theirs is finer."""

    @cached_property
    def data_sets(self) -> Mapping[str, DataSet]:
        """The data sets that were given; UserError for one that the recipe does not know, and when there is none."""
        for name in self.paths:
            if name not in self.recipe.data:
                raise UserError(
                    f"--data {name}: the recipe has no [data.{name}]; it has {', '.join(self.recipe.data)}."
                )
        uses = {name: use for name, use in self.recipe.data.items() if self._is_used(name, use)}
        missing = [name for name in uses if name not in self.paths]
        if missing:
            raise UserError(f"The recipe needs {', '.join(f'--data {name}=PATH' for name in missing)} as well.")
        return {name: read_data_set(use.layout, self.paths[name], use.options) for name, use in uses.items()}

    @cached_property
    def splits(self) -> Mapping[str, Split]:
        """Each data set shared out to training, validation and test, without a leak."""
        return {
            name: split_pictures(data_set, seed=self.recipe.seed, shares=self.recipe.data[name].shares)
            for name, data_set in self.data_sets.items()
        }

    @property
    def detector_recipe(self) -> DetectorRecipe:
        """``[detector]``; UserError where the recipe has none."""
        if self.recipe.detector is None:
            raise UserError(
                f"The recipe {self.recipe.name} has no [detector]. Train what it has: marrow train classifier."
            )
        return self.recipe.detector

    @property
    def classifier_recipe(self) -> ClassifierRecipe:
        """``[classifier]``; UserError where the recipe has none."""
        if self.recipe.classifier is None:
            raise UserError(
                f"The recipe {self.recipe.name} has no [classifier]. Train what it has: marrow train detector."
            )
        return self.recipe.classifier

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """Of the classifier's labels."""
        return load_taxonomy(self.recipe.taxonomy)

    @cached_property
    def schema(self) -> AttributeSchema | None:
        """Of the attributes that the classifier learns."""
        name = self.classifier_recipe.attributes
        return load_schema(name) if name else None

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Of the classifier: those that the recipe names, else those with cells enough in the training data."""
        recipe = self.classifier_recipe
        if recipe.labels:
            return tuple(self.taxonomy.get(label).label for label in recipe.labels)
        pictures = [self._in_taxonomy(*chosen) for chosen in self._pictures(CLASSIFIER, "train")]
        cells = [cell.label for picture in pictures for cell in examples_of(picture)]
        labels = tuple(label for label in self.taxonomy.labels if cells.count(label) >= recipe.least_cells)
        if len(labels) < 2:
            raise UserError(
                f"The training data have cells of {len(labels)} labels of {self.taxonomy.name}; two are needed."
            )
        return labels

    def marked(self, part: str) -> MarkedPictures:
        """Pictures of a part at the detector's scale."""
        recipe = self.detector_recipe
        return MarkedPictures.concatenate(
            [
                marked_pictures(
                    getattr(self.splits[name], part),
                    self.data_sets[name].taxonomy,
                    recipe.kinds,
                    recipe.um_per_px,
                    self.folder / "pixels" / f"{name}-{part}-detector",
                )
                for name in self._names(DETECTOR)
            ]
        )

    def crops(self, part: str) -> CropSet:
        """Cells of a part at the classifier's scale."""
        recipe = self.classifier_recipe
        return crops_of_pictures(
            [self._in_taxonomy(name, picture) for name, picture in self._pictures(CLASSIFIER, part)],
            self.labels,
            CropShape(recipe.um_per_px, recipe.crop_px, recipe.margin_px, self.scanner_um_per_px),
            self.folder / "pixels" / f"{part}-classifier",
            attribute_values=self.schema.values if self.schema else None,
        )

    def stains(self, training: DetectorTraining | ClassifierTraining) -> tuple[Stain, ...]:
        """What is shown to a ``training`` besides its own: the stains of the training pictures for ``colours``."""
        if not training.other_stains:
            return ()
        names = [name for name, use in self.recipe.data.items() if COLOURS in use.use]
        missing = [f"--data {name}=PATH" for name in names if name not in self.data_sets]
        if missing:
            raise UserError(f"The recipe needs {', '.join(missing)} for its colours.")
        found = stains_of(read_image(p.image)[::2, ::2] for name in names for p in self.splits[name].train)
        if not found:
            raise UserError(
                f"No picture of {', '.join(names)} shows glass, red cells and nuclei; its colours are needed."
            )
        return found

    def train_detector(self) -> HeatmapNet:
        """Train the detector, or read the trained one."""
        recipe = self.detector_recipe
        self._look_for_beginning(DETECTOR, recipe.training)
        stains = self.stains(recipe.training)
        held_back = self.marked("val")

        def validate(network: HeatmapNet) -> float:
            folded = fold(network, recipe.training.weight_digits)
            detector = Detector(folded, self._detector_settings(UNTUNED_SCORE), recipe.training.effort.device)
            return judge_detector(detector, held_back, recipe.kinds, resamples=0).ap50_95.value

        return train_detector(
            self.marked("train"),
            self._run(DETECTOR, recipe.training.effort.device),
            recipe.training,
            kinds=len(recipe.kinds),
            stains=stains,
            seed=self.recipe.seed,
            progress=self.progress,
            validate=validate if recipe.training.effort.evaluate_every else None,
        )

    def train_classifier(self) -> ClassifierNetwork:
        """Train the classifier, or read the trained one."""
        recipe = self.classifier_recipe
        self._look_for_beginning(CLASSIFIER, recipe.training)
        stains = self.stains(recipe.training)
        held_back = self.crops("val")

        def validate(network: ClassifierNetwork) -> float:
            folded = fold(network, recipe.training.weight_digits)
            classifier = Classifier(folded, self._classifier_settings(1.0), recipe.training.effort.device)
            heads = told(classifier, held_back)
            return judge_classes(heads[CLASS_HEAD], held_back, resamples=0).macro_f1.value

        return train_classifier(
            self.crops("train"),
            self._run(CLASSIFIER, recipe.training.effort.device),
            recipe.training,
            least_contrast=recipe.least_contrast,
            stains=stains,
            seed=self.recipe.seed,
            progress=self.progress,
            validate=validate if recipe.training.effort.evaluate_every else None,
        )

    def _look_for_beginning(self, role: str, training: DetectorTraining | ClassifierTraining) -> None:
        """Make sure that what a training goes on from is there, before any picture is read or anything written."""
        if training.continue_from is not None and not has_begun(self.folder / role):
            opened(training.continue_from, role)

    def _run(self, role: str, device: str) -> Run:
        least_s = 0.0 if device == "cpu" else BETWEEN_CHECKPOINTS_S
        return Run(self.folder / role, every=REPORT_EVERY, least_s=least_s)

    def train_all(self) -> None:
        """Train every network of ``roles``, and do nothing with them."""
        if DETECTOR in self.roles:
            self.train_detector()
        if CLASSIFIER in self.roles:
            self.train_classifier()

    def tuned_detector(self, network: HeatmapNet) -> Detector:
        """The folded detector with the score from which recall and precision of the counted cells balance best."""
        recipe = self.detector_recipe
        folded = fold(network, recipe.training.weight_digits)
        detector = Detector(fast_where_equal(folded), self._detector_settings(UNTUNED_SCORE))
        figures = judge_detector(detector, self.marked("val"), recipe.kinds, resamples=0)
        return Detector(detector.network, self._detector_settings(round(_counted(figures), 3)))

    def tuned_classifier(self, network: ClassifierNetwork) -> Classifier:
        """The folded classifier with the temperature that makes its confidences fit frequencies."""
        held_back = self.crops("val")
        folded = fold(network, self.classifier_recipe.training.weight_digits)
        classifier = Classifier(fast_where_equal(folded), self._classifier_settings(1.0))
        temperature = fitted_temperature(told(classifier, held_back)[CLASS_HEAD], held_back.classes)
        return Classifier(classifier.network, self._classifier_settings(temperature))

    def _detector_settings(self, score_threshold: float) -> DetectorSettings:
        recipe = self.detector_recipe
        return DetectorSettings(recipe.um_per_px, score_threshold, recipe.largest_um, recipe.duplicate_um)

    def _classifier_settings(self, temperature: float) -> ClassifierSettings:
        recipe = self.classifier_recipe
        return ClassifierSettings(
            recipe.um_per_px,
            recipe.crop_px,
            self.labels,
            temperature,
            recipe.views,
            dict(self.schema.values) if self.schema else {},
            recipe.least_contrast,
        )

    def _is_used(self, name: str, use: DataUse) -> bool:
        """Pictures for their colours are of use to a training only, and read where they are given."""
        if set(use.use) & set(self.roles):
            return True
        networks = {DETECTOR: self.recipe.detector, CLASSIFIER: self.recipe.classifier}
        shown = any(
            network and network.training.other_stains and role in self.roles for role, network in networks.items()
        )
        return shown and COLOURS in use.use and name in self.paths

    def _names(self, use: str) -> list[str]:
        names = [name for name, data in self.recipe.data.items() if use in data.use and name in self.data_sets]
        if not names:
            raise UserError(f"The recipe {self.recipe.name} has no data for the {use}.")
        return names

    def _pictures(self, use: str, part: str) -> list[tuple[str, Picture]]:
        return [(name, picture) for name in self._names(use) for picture in getattr(self.splits[name], part)]

    def _in_taxonomy(self, name: str, picture: Picture) -> Picture:
        """``picture`` with its labels in the recipe's taxonomy, by the spelling of the data set where they differ."""
        if self.data_sets[name].taxonomy.name == self.taxonomy.name:
            return picture
        known = set(self.taxonomy.labels)
        cells = tuple(
            replace(cell, label=cell.label if cell.label in known else self.taxonomy.resolve(cell.raw_label))
            for cell in picture.cells
        )
        return replace(picture, cells=cells)


def _counted(figures: BoxFigures) -> float:
    """The best score of the first kind: the nucleated cells, which are counted."""
    score = figures.kinds[0].best.score
    return float(np.clip(score, 0.01, 0.99)) if np.isfinite(score) else UNTUNED_SCORE
