"""MLL23: 18 class folders of .tif, one picture twice in one class and one twice under two classes."""

from __future__ import annotations

import shutil
from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture

OPTIONS = ReadOptions()
WRONG = "promyelocyte_atypical"

COUNTS = {  # as published: 41,621 in all
    "myeloblast": 8606,
    "neutrophil_segmented": 7170,
    "lymphocyte": 5532,
    "hairy_cell": 3265,
    "monocyte": 2510,
    "eosinophil": 2448,
    "normoblast": 2071,
    "promyelocyte_atypical": 2033,
    "lymphocyte_large_granular": 1849,
    "plasma_cell": 1658,
    "smudge_cell": 988,
    "myelocyte": 747,
    "promyelocyte": 745,
    "neutrophil_band": 687,
    "basophil": 616,
    "metamyelocyte": 483,
    "lymphocyte_neoplastic": 180,
    "lymphocyte_reactive": 33,
}
PER_CLASS = 2
AGREEING = ("lymphocyte/lymphocyte_0000.tif", "lymphocyte/lymphocyte_9000.tif")
CONFLICTING = ("myeloblast/myeloblast_0001.tif", "promyelocyte/promyelocyte_9001.tif")


def write(folder: Path) -> Path:
    for i, label in enumerate(COUNTS):
        for n in range(PER_CLASS):
            write_picture(folder / label / f"{label}_{n:04d}.tif", 36, 36, seed=100 * i + n)
    for one, other in (AGREEING, CONFLICTING):
        shutil.copyfile(folder / one, folder / other)
    return folder
