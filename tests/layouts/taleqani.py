"""Blood cell Cancer [ALL]: the release by diagnosis, and the one with Original beside Segmented."""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.taleqani import BY_DIAGNOSIS, BY_STAGE
from tests.layouts.drawing import write_picture

OPTIONS = ReadOptions(um_per_px=0.3)
WRONG = "Pro"

MISNAMED = "WBC-Malignant-Pre-900.jpg"
"""A picture in the folder Pro."""


def write(folder: Path) -> Path:
    for i, part in enumerate(("Original", "Segmented")):
        for j, stage in enumerate(BY_STAGE):
            word = stage if stage == "Benign" else f"Malignant-{stage}"
            for n in (1, 2):
                name = f"WBC-{word}-{n:03d}.jpg"
                write_picture(folder / part / stage / name, 56, 56, seed=100 * i + 10 * j + n)
    write_picture(folder / "Original" / "Pro" / MISNAMED, 56, 56, seed=999)
    return folder


def write_by_diagnosis(folder: Path) -> Path:
    for j, name in enumerate(BY_DIAGNOSIS):
        for n in (1, 2):
            write_picture(folder / "Blood cell Cancer [ALL]" / name / f"Snap_{n:03d}.jpg", 64, 48, seed=10 * j + n)
    return folder
