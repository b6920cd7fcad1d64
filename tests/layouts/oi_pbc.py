"""OI-PBC as three tar archives, a list of classes and a table of attributes; the defects of the published boxes."""

from __future__ import annotations

import shutil
from pathlib import Path

from marrow_models.datasets.attributes import load_schema
from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import packed, write_picture, write_text, yolo_line

OPTIONS = ReadOptions()
WRONG = "classes.txt"
CLASSES = ("BA", "BNE", "EO", "ERB", "LY", "MMY", "MO", "MY", "PLT", "PMY", "RBC", "SNE")
FILES = {"train": ("BA_1", "PLATELET_2"), "val": ("SNE_3",), "test": ("EO_4", "LY_5", "BA_6")}
WITHOUT_ATTRIBUTES = "PLATELET_2"
"""WBCAtt describes white cells only."""


def write(folder: Path) -> Path:
    write_unpacked(folder)
    for split in FILES:
        part = folder / split
        for kind in ("images", "labels"):
            (part / kind).mkdir(parents=True)
            shutil.move(folder / kind / split, part / kind / split)
        packed(part, folder / f"{split}.tar")
        shutil.rmtree(part)
    shutil.rmtree(folder / "images")
    shutil.rmtree(folder / "labels")
    return folder


def write_unpacked(folder: Path) -> Path:
    """The same without archives."""
    for split, stems in FILES.items():
        for stem in stems:
            write_picture(folder / "images" / split / f"{stem}.jpg", 36, 40)
            write_text(folder / "labels" / split / f"{stem}.txt", _boxes(stem))
    write_text(folder / "classes.txt", "\n".join(CLASSES) + "\n")
    write_text(folder / "cells.csv", _attributes())
    return folder


def _boxes(stem: str) -> str:
    """A red cell nearest to the centre, the cell asked for around it, and what is wrong upstream."""
    prefix = stem.split("_")[0]
    named = {"PLATELET": "PLT", "BA": "BA" if stem == "BA_1" else "SNE"}.get(prefix, prefix)
    lines = [yolo_line(10, (16, 18, 20, 22), 36, 40), yolo_line(10, (30, 30, 36, 40), 36, 40)]
    if prefix != "LY":  # the central cell was not marked there
        lines.insert(1, yolo_line(CLASSES.index(named), (10, 12, 24, 30), 36, 40))
        lines.append(yolo_line(8, (1, 1, 5, 5), 36, 40))
    if prefix == "EO":
        lines.append("10 1.006944 0.055096 0.013889 0.000000")
    return "\n".join(lines) + "\n"


def _attributes() -> str:
    schema = load_schema("wbcatt11")
    rows = [",".join(["split", "image", "cell_class", *schema.values])]
    for split, stems in FILES.items():
        for stem in stems:
            given = stem != WITHOUT_ATTRIBUTES
            values = [known[-1] if given else "" for known in schema.values.values()]
            rows.append(",".join([split, f"{stem}.jpg", stem.split("_")[0], *values]))
    return "\n".join(rows) + "\n"
