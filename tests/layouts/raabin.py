"""Raabin-WBC, cropped and double-labelled: the second test set has two of the five classes."""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture

OPTIONS = ReadOptions(um_per_px=0.1, um_per_px_by_domain=(("TestB", 0.12),))
WRONG = "Train"


def write(folder: Path) -> Path:
    for part, classes in (
        ("Train", ("Basophil", "Eosinophil", "Lymphocyte", "Monocyte", "Neutrophil")),
        ("TestA", ("Basophil", "Eosinophil", "Lymphocyte", "Monocyte", "Neutrophil")),
        ("TestB", ("Lymphocyte", "Neutrophil")),
    ):
        for number, name in enumerate(classes):
            write_picture(folder / part / name / f"20190526_162951_{number}.jpg", 57, 57, seed=number + len(part))
    return folder
