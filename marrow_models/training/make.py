"""What the commands of a training do: networks from a recipe, their figures, and the bundle with its card."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any

from marrow_models.bundle import CLASSIFIER as CLASSIFIER_WEIGHTS
from marrow_models.bundle import DETECTOR as DETECTOR_WEIGHTS
from marrow_models.bundle import Bundle, load_bundle
from marrow_models.classification import CLASS_HEAD, Classifier
from marrow_models.detection import Detector
from marrow_models.errors import UserError
from marrow_models.evaluation.attributes import AttributeFigures
from marrow_models.evaluation.boxes import BoxFigures
from marrow_models.evaluation.classes import ClassFigures
from marrow_models.evaluation.plots import TrainingCurve
from marrow_models.evaluation.provenance import Provenance, machine_kind
from marrow_models.evaluation.results import write_results
from marrow_models.networks.loading import load_networks
from marrow_models.training.assemble import assemble_bundle, weights_of
from marrow_models.training.classifier import heads_of
from marrow_models.training.crops import MISSING
from marrow_models.training.from_recipe import Workshop
from marrow_models.training.go_on import opened
from marrow_models.training.measure import judge_attributes, judge_classes, judge_detector, told
from marrow_models.training.recipe_file import CLASSIFIER, DETECTOR

HEATMAP_NET = "marrow_models.networks.heatmap.HeatmapNet"
CLASSIFIER_TARGETS = {
    "CropNet": "marrow_models.networks.crop.CropNet",
    "LiteCrops": "marrow_models.networks.lite.LiteCrops",
    "ResNet50Crops": "marrow_models.networks.residual.ResNet50Crops",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on a part of the data; None where that network was not asked for."""

    boxes: BoxFigures | None = None
    classes: ClassFigures | None = None
    attributes: AttributeFigures | None = None
    taxonomy: str | None = None
    """Of the labels of ``classes``."""

    def in_short(self) -> dict[str, object]:
        """The main figures, rounded, for a bundle's metadata and for the terminal."""
        short: dict[str, object] = {}
        if self.boxes:
            short |= {"ap50": _rounded(self.boxes.ap50.value), "ap50_95": _rounded(self.boxes.ap50_95.value)}
            short |= {f"ap50_{row.kind}": _rounded(row.ap50.value) for row in self.boxes.kinds}
        if self.classes:
            short |= {name: _rounded(getattr(self.classes, name).value) for name in ("accuracy", "macro_f1", "auc")}
            short |= {"labels": list(self.classes.labels), "confusion": self.classes.confusion.tolist()}
            short |= {"taxonomy": self.taxonomy} if self.taxonomy else {}
        if self.attributes:
            short |= {"attribute_accuracy": _rounded(self.attributes.mean_accuracy.value)}
            short |= {"attribute_f1": _rounded(self.attributes.mean_macro_f1.value)}
        return short


def make_bundle(folder: Path, workshop: Workshop, *, command: str) -> tuple[Bundle, Figures]:
    """Train what is not trained yet, measure it on the test part, and write the bundle to ``folder``.

    The recipe's base lends the network that is not trained, and the diagnosis model. The test part is looked at once,
    by what came out; also by a lent network, where the recipe says the same of it and its data were given as well.
    """
    recipe, roles = workshop.recipe, workshop.roles
    base = load_bundle(recipe.base)
    made: dict[str, tuple[bytes, dict[str, Any]]] = {
        role: (base.read(path), dict(base.networks[role])) for role, path in _WEIGHTS.items()
    }
    detector, classifier = base.detector, base.classifier
    tuned_detector: Detector | None = None
    tuned_classifier: Classifier | None = None
    if DETECTOR in roles:
        heatmap = workshop.train_detector()
        tuned_detector = workshop.tuned_detector(heatmap)
        detector = tuned_detector.settings
        weights = weights_of(heatmap, workshop.detector_recipe.training.weight_digits)
        made[DETECTOR] = (weights, _detector_definition(workshop))
    if CLASSIFIER in roles:
        crop = workshop.train_classifier()
        tuned_classifier = workshop.tuned_classifier(crop)
        classifier = tuned_classifier.settings
        weights = weights_of(crop, workshop.classifier_recipe.training.weight_digits)
        made[CLASSIFIER] = (weights, _classifier_definition(workshop))
    lent = tuple(role for role in _WEIGHTS if role not in roles and _can_measure(role, base, workshop))
    if lent:
        workshop = replace(workshop, roles=(*lent, *roles))
        of_base = load_networks(base)
        tuned_detector = of_base[0] if DETECTOR in lent else tuned_detector
        tuned_classifier = of_base[1] if CLASSIFIER in lent else tuned_classifier
    figures = measured(workshop, tuned_detector, tuned_classifier, "test")
    with tempfile.TemporaryDirectory() as results:
        documents = Path(results)
        write_figures(documents, f"{recipe.title}: figures", workshop, figures, command=command)
        card = (documents / "README.md").read_text(encoding="utf-8")
        (documents / "README.md").unlink()
        bundle = assemble_bundle(
            folder,
            name=recipe.name,
            version=recipe.version,
            description=recipe.title,
            taxonomy=recipe.taxonomy if CLASSIFIER in roles else base.taxonomy,
            slide_um_per_px=recipe.slide_um_per_px,
            networks=made,
            detector=detector,
            classifier=classifier,
            survey=recipe.survey,
            diagnosis=base.diagnosis_path,
            card=_card(workshop, base, roles, card),
            figures=figures.in_short(),
            licence=recipe.licence,
            documents=documents,
        )
    return bundle, figures


def _can_measure(role: str, base: Bundle, workshop: Workshop) -> bool:
    """Whether that network of ``base`` tells what the recipe asks for, and its data were given."""
    recipe = workshop.recipe
    needed = {name for name, use in recipe.data.items() if role in use.use}
    if not needed or not needed <= workshop.paths.keys():
        return False
    if role == DETECTOR:
        looked_for, finds = recipe.detector, (base.detector.um_per_px, base.networks[DETECTOR].get("kinds", 1))
        return looked_for is not None and (looked_for.um_per_px, len(looked_for.kinds)) == finds
    asked, told_by = recipe.classifier, base.classifier
    if asked is None or (asked.um_per_px, asked.crop_px) != (told_by.um_per_px, told_by.crop_px):
        return False
    classifying = replace(workshop, roles=(CLASSIFIER,))
    attributes = dict(classifying.schema.values) if classifying.schema else {}
    try:
        labels = classifying.labels
    except UserError:  # too few cells for any classifier
        return False
    return (labels, attributes) == (told_by.labels, dict(told_by.attributes))


def measured(workshop: Workshop, detector: Detector | None, classifier: Classifier | None, part: str) -> Figures:
    """Figures of the networks that are given, on a part of the recipe's data."""
    seed = workshop.recipe.seed
    boxes = classes = attributes = None
    if detector is not None:
        boxes = judge_detector(detector, workshop.marked(part), workshop.detector_recipe.kinds, seed=seed)
    if classifier is not None:
        crops = workshop.crops(part)
        heads = told(classifier, crops)
        if (crops.classes != MISSING).any():
            classes = judge_classes(heads[CLASS_HEAD], crops, seed=seed)
        if workshop.schema and any((values != MISSING).any() for values in crops.attributes.values()):
            attributes = judge_attributes(heads, crops, workshop.schema, seed=seed)
    return Figures(boxes, classes, attributes, workshop.recipe.taxonomy)


def write_figures(
    folder: Path, title: str, workshop: Workshop, figures: Figures, *, command: str, part: str = "test"
) -> None:
    """The result folder: tables, plots, curves and where all of it comes from."""
    chosen = [(name, data_set, workshop.splits[name]) for name, data_set in workshop.data_sets.items()]
    notes = [f"{name}: {note}" for name, data_set, _ in chosen for note in data_set.notes]
    shares = [f"{name} {len(s.train)} / {len(s.val)} / {len(s.test)}" for name, _, s in chosen]
    write_results(
        folder,
        title,
        provenance=Provenance(
            command=command,
            data=tuple(f"{name}: {d.source}, licence {d.licence}" for name, d, _ in chosen),
            split=f"pictures for training / validation / test: {'; '.join(shares)}. Measured on {part}.",
            seed=workshop.recipe.seed,
            machine=machine_kind(),
            limits=(*workshop.recipe.limits, *notes, *_starts(workshop)),
        ),
        boxes=figures.boxes,
        classes=figures.classes,
        attributes=figures.attributes,
        curve=_curve(workshop.folder / CLASSIFIER / "curve.csv") or _curve(workshop.folder / DETECTOR / "curve.csv"),
    )


_WEIGHTS: Mapping[str, str] = {DETECTOR: DETECTOR_WEIGHTS, CLASSIFIER: CLASSIFIER_WEIGHTS}


def _detector_definition(workshop: Workshop) -> dict[str, Any]:
    recipe = workshop.detector_recipe
    training = recipe.training
    return {
        "_target_": HEATMAP_NET,
        "kinds": len(recipe.kinds),
        "planes": list(training.planes),
        "blocks": list(training.blocks),
    }


def _classifier_definition(workshop: Workshop) -> dict[str, Any]:
    training = workshop.classifier_recipe.training
    definition: dict[str, Any] = {
        "_target_": CLASSIFIER_TARGETS[training.network],
        "heads": heads_of(workshop.crops("train")),
    }
    if training.network == "CropNet":
        definition |= {"planes": list(training.planes), "blocks": list(training.blocks)}
    return definition


def _card(workshop: Workshop, base: Bundle, roles: Collection[str], results: str) -> str:
    """The results' README with what the networks are before it."""
    lent = [role for role in _WEIGHTS if role not in roles]
    about = [f"- {part}: taken over from the bundle {base.name} {base.version}" for part in (*lent, "diagnosis model")]
    if DETECTOR in roles:
        recipe = workshop.detector_recipe
        about.append(
            f"- detector: centre heatmap and box, {', '.join(recipe.kinds)}, read at {recipe.um_per_px:g} um/px"
        )
    if CLASSIFIER in roles:
        told_by = workshop.classifier_recipe
        about.append(
            f"- classifier: {told_by.training.network} on crops of {told_by.crop_px} px at "
            f"{told_by.um_per_px:g} um/px, {len(workshop.labels)} labels, {told_by.views} views averaged"
        )
    about.append("- all sums are exact in float32: results do not depend on tiles, batches, threads or machine")
    title, _, rest = results.partition("\n")
    return "\n".join([title, "", "## Networks", "", *about, "", f"Licence: {workshop.recipe.licence}", rest])


def _starts(workshop: Workshop) -> list[str]:
    """The weights that a training started from: their licence goes with what is made from them."""
    recipe, starts = workshop.recipe, []
    if CLASSIFIER in workshop.roles and recipe.classifier and recipe.classifier.training.start:
        start = recipe.classifier.training.start
        starts.append(f"started from weights with SHA-256 {start.sha256[:16]}, licence {start.licence}")
    for role, part in ((DETECTOR, recipe.detector), (CLASSIFIER, recipe.classifier)):
        beginning = part.training.continue_from if part else None
        if role in workshop.roles and beginning is not None:
            bundle = opened(beginning, role)
            digest = beginning.sha256 or bundle.files[_WEIGHTS[role]]
            version = f" {bundle.version}" if bundle.files[_WEIGHTS[role]] == digest else ""
            starts.append(
                f"{role}: went on from that of {bundle.name}{version}, SHA-256 {digest[:16]}, licence {bundle.licence}"
            )
    return starts


def _curve(path: Path) -> TrainingCurve | None:
    """The curve of a training, as the loop wrote it."""
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(*row, "")[:3] for row in csv.reader(file)]
    figures = [float(row[2]) if row[2] else nan for row in rows]
    return TrainingCurve(
        [int(row[0]) for row in rows], {"training": [float(row[1]) for row in rows]}, {"validation": figures}
    )


def _rounded(value: float) -> float | None:
    return round(value, 4) if value == value else None
