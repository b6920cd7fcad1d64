"""How the shipped bundle is made, from nothing but a seed: fields, two networks, a diagnosis model, figures, card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from marrow_models.bundle import Bundle
from marrow_models.classification import CLASS_HEAD, Classifier
from marrow_models.detection import Detector
from marrow_models.diagnosis.training import train_diagnosis
from marrow_models.model_settings import ClassifierSettings, DetectorSettings, SurveySettings
from marrow_models.networks.heatmap import HeatmapNet
from marrow_models.networks.lattice import fold
from marrow_models.phantom.morphology import morphologies
from marrow_models.taxonomy import load_taxonomy
from marrow_models.training.assemble import assemble_bundle
from marrow_models.training.card import model_card
from marrow_models.training.classifier import ClassifierNetwork, ClassifierTraining, train_classifier
from marrow_models.training.crops import CropShape, crops_of
from marrow_models.training.detector import DetectorTraining, train_detector
from marrow_models.training.evaluation import (
    Evaluation,
    best_threshold,
    evaluate,
    fitted_temperature,
    look_for_cells,
)
from marrow_models.training.fields import FieldSet, make_fields
from marrow_models.training.loop import Effort, Run, Step
from marrow_models.training.pictures import marked_fields

NAME = "phantom"
VERSION = "1.0.0"
TAXONOMY = "marrow49"
SLIDE_UM_PER_PX = (0.05, 0.30)
DETECTOR = DetectorSettings(um_per_px=0.5, score_threshold=0.05, largest_um=60.0, duplicate_um=12.0)
SURVEY = SurveySettings(
    um_per_px=1.0, field_um=128.0, nucleus_um2=52.0, nucleus_density=0.3, largest_dark_share=0.35, least_sharpness=0.42
)
CLASSIFIER_UM_PER_PX, CROP_PX, MARGIN_PX = 0.25, 80, 24
LICENCE = "Apache-2.0"
REPORT_EVERY = 50
"""Steps between two checkpoints."""
LIMITS = (
    "Trained and measured on synthetic cells only. It knows nothing of real smears; its figures say that the "
    "pipeline works, not that it diagnoses.",
    "Labels that the synthetic smears do not draw are never given.",
    "Slides coarser than 0.30 um/px are refused.",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much of everything. The defaults are those of the shipped bundle."""

    fields: int = 2400
    held_out_fields: int = 150
    tuning_fields: int = 60
    detector_steps: int = 1000
    detector_batch: int = 8
    classifier_steps: int = 2500
    classifier_batch: int = 64


@dataclass(frozen=True, slots=True)
class Workshop:
    """A folder that keeps drawn fields and checkpoints, so that an interrupted training goes on where it was."""

    folder: Path
    seed: int
    recipe: Recipe = Recipe()
    processes: int = 1
    """Processes that draw fields."""

    def fields(self, part: str) -> FieldSet:
        """The fields of a part: ``training``, ``tuning`` or ``held_out``. No two parts share a field."""
        number, count = {
            "training": (1, self.recipe.fields),
            "tuning": (2, self.recipe.tuning_fields),
            "held_out": (3, self.recipe.held_out_fields),
        }[part]
        seed = 1000 * self.seed + number
        return make_fields(self.folder / f"fields-{part}", count=count, seed=seed, processes=self.processes)

    def train_detector(self, progress: Callable[[Step], None]) -> HeatmapNet:
        """Train the detector on the training fields."""
        return train_detector(
            marked_fields(self.fields("training"), DETECTOR.um_per_px),
            Run(self.folder / "detector", every=REPORT_EVERY),
            DetectorTraining(Effort(self.recipe.detector_steps, self.recipe.detector_batch), window_px=256),
            seed=self.seed,
            progress=progress,
        )

    def train_classifier(self, progress: Callable[[Step], None]) -> ClassifierNetwork:
        """Train the classifier on the cells of the training fields."""
        return train_classifier(
            crops_of(self.fields("training"), phantom_labels(), CropShape(CLASSIFIER_UM_PER_PX, CROP_PX, MARGIN_PX)),
            Run(self.folder / "classifier", every=REPORT_EVERY),
            ClassifierTraining(Effort(self.recipe.classifier_steps, self.recipe.classifier_batch)),
            seed=self.seed,
            progress=progress,
        )


def phantom_labels() -> tuple[str, ...]:
    """The labels that synthetic smears hold, in the order of the classifier's outputs."""
    return tuple(sorted(morphologies()))


def make_phantom_bundle(
    folder: Path, workshop: Workshop, *, progress: Callable[[Step], None] = lambda step: None
) -> tuple[Bundle, Evaluation]:
    """Train what is not trained yet, measure it on fields held out, and write the bundle to ``folder``."""
    heatmap, crop = workshop.train_detector(progress), workshop.train_classifier(progress)
    detector, classifier = tuned(fold(heatmap), fold(crop), workshop.fields("tuning"))
    figures = evaluate(
        look_for_cells(
            Detector(fold(heatmap), detector), Classifier(fold(crop), classifier), workshop.fields("held_out")
        ),
        classifier.labels,
        load_taxonomy(TAXONOMY),
    )
    train_diagnosis(workshop.folder / "diagnosis", seed=workshop.seed)
    card = model_card(
        title="Phantom: detector and classifier for synthetic smears",
        data=f"{workshop.recipe.fields} synthetic fields of 128 x 128 um, as `marrow phantom` draws slides, "
        f"seed {workshop.seed}.",
        command=f"marrow train bundle --out OUT --work WORK --seed {workshop.seed}",
        detector=detector,
        classifier=classifier,
        figures=figures,
        limits=LIMITS,
        licence=LICENCE,
    )
    bundle = assemble_bundle(
        folder,
        name=NAME,
        version=VERSION,
        description="Detector and classifier for the synthetic smears of marrow phantom",
        taxonomy=TAXONOMY,
        slide_um_per_px=SLIDE_UM_PER_PX,
        networks={
            "detector": (heatmap, {"_target_": "marrow_models.networks.heatmap.HeatmapNet", "kinds": 1}),
            "classifier": (
                crop,
                {"_target_": "marrow_models.networks.crop.CropNet", "heads": {CLASS_HEAD: len(classifier.labels)}},
            ),
        },
        detector=detector,
        classifier=classifier,
        survey=SURVEY,
        diagnosis=workshop.folder / "diagnosis",
        card=card,
        figures=figures.as_json(),
        licence=LICENCE,
    )
    return bundle, figures


def tuned(
    detector: HeatmapNet, classifier: ClassifierNetwork, fields: FieldSet
) -> tuple[DetectorSettings, ClassifierSettings]:
    """The settings that fit folded networks best: the score threshold and the temperature, on fields of their own."""
    labels = phantom_labels()
    untuned = ClassifierSettings(um_per_px=CLASSIFIER_UM_PER_PX, crop_px=CROP_PX, labels=labels, temperature=1.0)
    found = look_for_cells(Detector(detector, DETECTOR), Classifier(classifier, untuned), fields)
    return (
        replace(DETECTOR, score_threshold=best_threshold(found)),
        replace(untuned, temperature=fitted_temperature(found, labels)),
    )
