"""The result folder of an evaluation: figures as JSON and CSV, plots, and a README that says how to make them again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from marrow_models.errors import UserError
from marrow_models.evaluation import plots
from marrow_models.evaluation.attributes import AttributeFigures
from marrow_models.evaluation.boxes import BoxFigures
from marrow_models.evaluation.classes import ClassFigures
from marrow_models.evaluation.diagnosis import DiagnosisFigures
from marrow_models.evaluation.plots import TrainingCurve
from marrow_models.evaluation.provenance import Provenance
from marrow_models.evaluation.tables import (
    Table,
    as_json,
    attribute_tables,
    box_tables,
    class_tables,
    confusion_table,
    diagnosis_tables,
    sampling_text,
)

NOTICE = "For Research Use Only. Not for use in diagnostic procedures."


@dataclass(frozen=True, slots=True)
class _Section:
    """One kind of figures in the README."""

    tables: list[Table]
    hidden: list[Table]
    """Written as CSV only."""
    plots: dict[str, Figure]
    note: str


def write_results(
    folder: Path,
    title: str,
    *,
    provenance: Provenance,
    boxes: BoxFigures | None = None,
    classes: ClassFigures | None = None,
    attributes: AttributeFigures | None = None,
    diagnosis: DiagnosisFigures | None = None,
    curve: TrainingCurve | None = None,
) -> tuple[Path, ...]:
    """Write the result folder and return the files, ``figures.json`` last.

    The same figures give the same bytes. Files of the same names are replaced, others are left alone. UserError when
    there are no figures or the folder cannot be written.
    """
    figures = {"boxes": boxes, "classes": classes, "attributes": attributes, "diagnosis": diagnosis}
    given = {name: value for name, value in figures.items() if value is not None}
    if not given:
        raise UserError("There are no figures to write: judge boxes, classes, attributes or diagnoses first.")
    sections = list(_sections(boxes, classes, attributes, diagnosis, curve))
    texts = {f"{table.name}.csv": table.as_csv() for part in sections for table in (*part.tables, *part.hidden)}
    texts["README.md"] = _readme(title, provenance, sections)
    texts["figures.json"] = _json(
        {"title": title, "provenance": as_json(provenance)} | {n: as_json(v) for n, v in given.items()}
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = {name: picture for part in sections for name, picture in part.plots.items()}
        for name, picture in pictures.items():
            plots.save(picture, folder / name)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}). Choose another folder.") from error
    return tuple(folder / name for name in (*pictures, *texts))


def _sections(
    boxes: BoxFigures | None,
    classes: ClassFigures | None,
    attributes: AttributeFigures | None,
    diagnosis: DiagnosisFigures | None,
    curve: TrainingCurve | None,
) -> Iterator[_Section]:
    if boxes is not None:
        note = f"{sampling_text(boxes.sampling)} At most {boxes.max_per_picture} boxes of a kind count in a picture."
        yield _Section(box_tables(boxes), [], {"boxes_precision_recall.png": plots.precision_recall_plot(boxes)}, note)
    if classes is not None:
        yield _class_section(class_tables(classes), classes, "classes")
    if attributes is not None:
        *shown, values = attribute_tables(attributes)
        yield _Section(shown, [values], {}, sampling_text(attributes.sampling))
    if diagnosis is not None:
        yield _class_section(diagnosis_tables(diagnosis), diagnosis.classes, "diagnoses")
    if curve is not None:
        yield _Section([], [], {"training.png": plots.training_plot(curve)}, "")


def _class_section(tables: list[Table], figures: ClassFigures, name: str) -> _Section:
    drawn = {
        f"{name}_confusion.png": plots.confusion_plot(figures),
        f"{name}_roc.png": plots.roc_plot(figures),
        f"{name}_reliability.png": plots.reliability_plot(figures),
    }
    return _Section(tables, [confusion_table(figures, name)], drawn, sampling_text(figures.sampling))


def _readme(title: str, provenance: Provenance, sections: list[_Section]) -> str:
    made = Table(
        "",
        "",
        ("", ""),
        (
            ("command", f"`{provenance.command}`"),
            *(("data", text) for text in provenance.data),
            ("split", provenance.split),
            ("seed", provenance.seed),
            ("machine", provenance.machine),
            *(("limit", text) for text in provenance.limits),
        ),
    )
    lines = [f"# {title}", "", NOTICE, "", made.as_markdown()]
    for section in sections:
        for place, table in enumerate(section.tables):
            lines += ["", f"{'##' if not place else '###'} {table.title}", "", table.as_markdown()]
        if section.note:
            lines += ["", section.note]
        for name in section.plots:
            lines += ["", f"![{name.removesuffix('.png').replace('_', ' ')}]({name})"]
    return "\n".join([*lines, ""])


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
