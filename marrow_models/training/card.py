"""The model card of a bundle: what it is made of, what it is worth and what it is not for."""

from __future__ import annotations

from collections.abc import Sequence

from marrow_models.model_settings import ClassifierSettings, DetectorSettings
from marrow_models.training.evaluation import Evaluation


def model_card(
    *,
    title: str,
    data: str,
    command: str,
    detector: DetectorSettings,
    classifier: ClassifierSettings,
    figures: Evaluation,
    limits: Sequence[str],
    licence: str,
) -> str:
    """Return the card as Markdown. Every figure in it is one of ``figures``."""
    return "\n".join(
        [
            f"# {title}",
            "",
            "For Research Use Only. Not for use in diagnostic procedures.",
            "",
            "## Networks",
            "",
            f"- Detector: centre heatmap and box, read at {detector.um_per_px:g} um/px, "
            f"boxes from a score of {detector.score_threshold:g}.",
            f"- Classifier: residual network on crops of {classifier.crop_px} px at {classifier.um_per_px:g} um/px, "
            f"{len(classifier.labels)} labels, temperature {classifier.temperature:g}.",
            "- All sums are exact in float32: results do not depend on tiles, batches, threads or machine.",
            "",
            "## Data and training",
            "",
            data,
            "",
            f"Made again by `{command}`.",
            "",
            f"## Figures on {figures.fields} fields with {figures.cells} cells that no network was trained on",
            "",
            *_table(
                ("", ""),
                [
                    ("Average precision of boxes, overlap 0.5", f"{figures.ap50:.4f}"),
                    ("Recall", f"{figures.recall:.4f}"),
                    ("Precision", f"{figures.precision:.4f}"),
                    ("Accuracy of the label, found cells", f"{figures.label_accuracy:.4f}"),
                    ("Accuracy of the ICSH category, found cells", f"{figures.category_accuracy:.4f}"),
                    ("Largest error of a category's share", f"{figures.largest_bias:.2f} percentage points"),
                ],
            ),
            "",
            "Found cells by true category (rows) and what was said of them:",
            "",
            *_table(("true category", "cells", "right", "taken for"), _confusions(figures)),
            "",
            "## Limits",
            "",
            *(f"- {limit}" for limit in limits),
            "",
            f"Licence: {licence}",
            "",
        ]
    )


def _confusions(figures: Evaluation) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for index, name in enumerate(figures.categories):
        counts = figures.confusion[index]
        total = int(counts.sum())
        if total:
            wrong = sorted(
                ((int(n), other) for n, other in zip(counts, figures.categories, strict=True) if other != name and n),
                reverse=True,
            )
            others = ", ".join(f"{other} {n}" for n, other in wrong[:3])
            rows.append((name, str(total), f"{counts[index] / total:.3f}", others or "-"))
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
