"""Figures as tables, written once for the README and the CSV files, and as JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marrow_models.evaluation.attributes import AttributeFigures
from marrow_models.evaluation.boxes import BoxFigures
from marrow_models.evaluation.classes import ClassFigures
from marrow_models.evaluation.diagnosis import DiagnosisFigures
from marrow_models.evaluation.resampling import Estimate, Sampling

DIGITS = 6
"""Digits of a figure in a file: more than any data set here can tell apart."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
Cell = str | int | float | Estimate


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells below a head."""

    name: str
    """Of the CSV file."""
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def as_markdown(self) -> str:
        """Return the table for people: three digits, intervals behind their figure."""
        rows = [self.head, ("---",) * len(self.head), *([_shown(cell) for cell in row] for row in self.rows)]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def as_csv(self) -> str:
        """Return the table for programs: six digits, intervals in columns of their own, nothing where undefined."""
        split = [any(isinstance(row[place], Estimate) for row in self.rows) for place in range(len(self.head))]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head = [
            [name, f"{name} low", f"{name} high"] if ends else [name]
            for name, ends in zip(self.head, split, strict=True)
        ]
        writer.writerow([_harmless(name) for names in head for name in names])
        for row in self.rows:
            cells = [_parts(cell, ends) for cell, ends in zip(row, split, strict=True)]
            writer.writerow([part for parts in cells for part in parts])
        return text.getvalue()


def box_tables(figures: BoxFigures) -> list[Table]:
    """The detector as a whole, and kind by kind."""
    overall: list[tuple[Cell, ...]] = [
        ("AP50", figures.ap50),
        ("AP50:95", figures.ap50_95),
        ("AP75", figures.ap75),
        ("average recall", figures.recall),
    ]
    best = ("precision", "recall", "F1", "from score")
    head = ("kind", "boxes", "AP50", "AP50:95", "AP75", "average recall", *best)
    kinds = tuple(
        (
            *(row.kind, row.boxes, row.ap50, row.ap50_95, row.ap75, row.recall),
            *(row.best.precision, row.best.recall, row.best.f1, row.best.score),
        )
        for row in figures.kinds
    )
    return [
        Table(
            "boxes", f"Boxes ({figures.pictures} pictures, {figures.boxes} boxes)", ("figure", "value"), tuple(overall)
        ),
        Table("boxes_kinds", "Kinds (precision, recall and F1 at an overlap of 0.5 and the best score)", head, kinds),
    ]


def class_tables(figures: ClassFigures, name: str = "classes", what: str = "cells") -> list[Table]:
    """The classifier as a whole, class by class, and the confusion matrix."""
    overall: tuple[tuple[Cell, ...], ...] = (
        ("accuracy", figures.accuracy),
        ("balanced accuracy", figures.balanced_accuracy),
        ("macro F1", figures.macro_f1),
        ("weighted F1", figures.weighted_f1),
        ("macro AUC, one against the rest", figures.auc),
        ("Cohen's kappa", figures.kappa),
        ("expected calibration error", figures.calibration_error),
    )
    rows = tuple(
        (row.label, row.cells, row.precision, row.recall, row.specificity, row.f1, row.auc) for row in figures.classes
    )
    head = ("class", what, "precision", "recall", "specificity", "F1", "AUC")
    return [
        Table(name, f"{name.capitalize()} ({figures.cells} {what})", ("figure", "value"), overall),
        Table(f"{name}_each", "Each class", head, rows),
    ]


def confusion_table(figures: ClassFigures, name: str = "classes") -> Table:
    """Cells by true (row) and given (column) class."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (label, *(int(count) for count in counts))
        for label, counts in zip(figures.labels, figures.confusion, strict=True)
    )
    return Table(f"{name}_confusion", "Confusion matrix", ("true class", *figures.labels), rows)


def attribute_tables(figures: AttributeFigures) -> list[Table]:
    """The attributes' means, attribute by attribute, and value by value."""
    overall: tuple[tuple[Cell, ...], ...] = (
        ("mean accuracy", figures.mean_accuracy),
        ("mean macro F1", figures.mean_macro_f1),
        ("mean F1 of the second of two values", figures.mean_second_f1),
    )
    each = tuple(
        (row.attribute, row.cells, row.accuracy, row.macro_precision, row.macro_recall, row.macro_f1, row.second_f1)
        for row in figures.attributes
    )
    head = ("attribute", "cells", "accuracy", "macro precision", "macro recall", "macro F1", "F1 of the second value")
    values = tuple(
        (row.attribute, value.value, value.cells, value.precision, value.recall, value.f1)
        for row in figures.attributes
        for value in row.values
    )
    title = f"Attributes of {figures.schema} ({figures.cells} cells)"
    return [
        Table("attributes", title, ("figure", "value"), overall),
        Table("attributes_each", "Each attribute", head, each),
        Table("attributes_values", "Each value", ("attribute", "value", "cells", "precision", "recall", "F1"), values),
    ]


def diagnosis_tables(figures: DiagnosisFigures) -> list[Table]:
    """The diagnosis model as a whole, and diagnosis by diagnosis."""
    overall, each = class_tables(figures.classes, "diagnoses", "patients")
    more: tuple[tuple[Cell, ...], ...] = (
        ("share of patients with a suggestion", figures.answered),
        *overall.rows,
        ("log loss", figures.log_loss),
        ("Brier score (0 to 2)", figures.brier),
    )
    return [dataclasses.replace(overall, rows=more), each]


def sampling_text(sampling: Sampling) -> str:
    """How the intervals were made, in a sentence."""
    return (
        f"95 % intervals: percentile bootstrap, {sampling.resamples} resamples of {sampling.units} units "
        f"({sampling.unit}), seed {sampling.seed}."
    )


def as_json(value: object) -> object:
    """Return figures as JSON values: six digits, null where undefined; without what only plots need."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: as_json(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not field.metadata.get("curve")
        }
    if isinstance(value, np.ndarray):
        return [as_json(item) for item in value.tolist()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value


def _shown(cell: Cell) -> str:
    if isinstance(cell, Estimate):
        known = math.isfinite(cell.low)
        return _shown(cell.value) + (f" ({cell.low:.3f} - {cell.high:.3f})" if known else "")
    if isinstance(cell, float):
        return f"{cell:.3f}" if math.isfinite(cell) else "-"
    return str(cell).replace("|", "\\|").replace("\n", " ")


def _parts(cell: Cell, with_ends: bool) -> list[str]:
    """The cell as texts: three where its column has intervals."""
    if isinstance(cell, Estimate):
        return [_number(value) for value in (cell.value, cell.low, cell.high)]
    value = _number(cell) if isinstance(cell, float) else _harmless(str(cell)) if isinstance(cell, str) else str(cell)
    return [value, "", ""] if with_ends else [value]


def _harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: names of classes come from data sets and bundles."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _number(value: float) -> str:
    return f"{value:.{DIGITS}f}" if math.isfinite(value) else ""
