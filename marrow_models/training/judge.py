"""Measuring a finished bundle on data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from marrow_models.bundle import Bundle
from marrow_models.classification import Classifier
from marrow_models.datasets.attributes import built_in_schemas, load_schema
from marrow_models.detection import Detector
from marrow_models.errors import UserError
from marrow_models.training.classifier import ClassifierTraining
from marrow_models.training.detector import DetectorTraining
from marrow_models.training.from_recipe import PARTS, Workshop
from marrow_models.training.loop import Effort
from marrow_models.training.make import Figures, measured
from marrow_models.training.pictures import KINDS
from marrow_models.training.recipe_file import (
    CLASSIFIER,
    DETECTOR,
    ClassifierRecipe,
    DataUse,
    DetectorRecipe,
    RecipeFile,
)
from marrow_models.training.together import judge_together

JUDGED = ("detector", "classifier", "together")
"""The boxes of kinds, the classes of given cells, or the boxes of classes."""
_NO_EFFORT = Effort(steps=0, batch=1)


def judging_workshop(
    bundle: Bundle, recipe: RecipeFile | None, paths: Mapping[str, Path], work: Path, what: str
) -> Workshop:
    """The data of ``recipe``, or each layout by its name, at the scales of ``bundle`` and with its labels."""
    data = dict(recipe.data) if recipe else {name: DataUse(layout=name) for name in paths}
    given = {name: use for name, use in data.items() if name in paths} or data
    kinds = int(bundle.networks["detector"].get("kinds", 1))
    detector = DetectorRecipe(bundle.detector.um_per_px, DetectorTraining(_NO_EFFORT), KINDS[:kinds])
    classifier = ClassifierRecipe(
        bundle.classifier.um_per_px,
        bundle.classifier.crop_px,
        ClassifierTraining(_NO_EFFORT),
        labels=bundle.labels,
        attributes=_schema_of(bundle),
    )
    about = RecipeFile(
        name=bundle.name,
        version=bundle.version,
        title=bundle.name,
        licence=bundle.licence,
        taxonomy=bundle.taxonomy,
        slide_um_per_px=bundle.slide_um_per_px,
        data=given,
        survey=bundle.survey,
        detector=detector,
        classifier=classifier,
        seed=recipe.seed if recipe else 1,
    )
    roles = (CLASSIFIER,) if what == CLASSIFIER else (DETECTOR,)
    return Workshop(about, paths, work, roles)


def measured_bundle(workshop: Workshop, detector: Detector, classifier: Classifier, part: str, what: str) -> Figures:
    """Figures of one of ``JUDGED`` on a part of the data."""
    if part not in PARTS:
        raise UserError(f"--part {part!r} is none of {', '.join(PARTS)}.")
    if what == "detector":
        return measured(workshop, detector, None, part)
    if what == "classifier":
        return measured(workshop, None, classifier, part)
    scale = min(workshop.detector_recipe.um_per_px, workshop.classifier_recipe.um_per_px)
    fine = replace(
        workshop, recipe=replace(workshop.recipe, detector=replace(workshop.detector_recipe, um_per_px=scale))
    )
    taxonomies = {data_set.taxonomy.name: data_set.taxonomy for data_set in fine.data_sets.values()}
    if len(taxonomies) != 1:
        raise UserError(f"--only together: the data are of {len(taxonomies)} taxonomies; give data of one.")
    taxonomy = next(iter(taxonomies.values()))
    kinds = workshop.detector_recipe.kinds
    return Figures(judge_together(detector, classifier, fine.marked(part), taxonomy, kinds, seed=fine.recipe.seed))


def _schema_of(bundle: Bundle) -> str | None:
    """The schema whose attributes the bundle tells; None for a bundle that tells none."""
    told = dict(bundle.classifier.attributes)
    return next((name for name in built_in_schemas() if told and dict(load_schema(name).values) == told), None)
