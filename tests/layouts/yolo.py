"""YOLO as its tools write it: data.yaml, a background picture without labels, a box over the edge, one without area."""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture, write_text, yolo_line

OPTIONS = ReadOptions(taxonomy="blood3")
WRONG = "labels"


def write(folder: Path) -> Path:
    write_text(folder / "data.yaml", "train: images/train\nval: images/val\nnc: 3\nnames: [WBC, RBC, Platelets]\n")
    lines = [
        yolo_line(0, (4, 5, 24, 26), 64, 48),
        "1 0.985000 0.500000 0.100000 0.250000",
        "1 0.500000 0.500000 0.000000 0.200000",
    ]
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        write_picture(folder / "images" / split / f"{name}.jpg")
        write_text(folder / "labels" / split / f"{name}.txt", "\n".join(lines) + "\n")
    write_picture(folder / "images" / "train" / "background.jpg")
    return folder
