"""Bone-Marrow-Cytomorphology: 21 class folders with blocks of 1000, the last one shorter; one picture twice."""

from __future__ import annotations

import shutil
from pathlib import Path

from marrow_models.datasets.bmc import CLASSES
from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture

OPTIONS = ReadOptions(um_per_px=0.17)
WRONG = "KSC"

BLOCKS = {
    "ABE": ("0001-0008",),
    "NGB": ("0001-1000", "1001-2000", "9001-9968"),
    "NGS": ("0001-1000", "10001-11000", "9001-10000"),
}
"""Of the classes with more or less than one full block."""
AGREEING = ("NGB/0001-1000/NGB_00001.jpg", "NGB/9001-9968/NGB_09454.jpg")


def write(folder: Path) -> Path:
    root = folder / "BM_cytomorphology_data"
    for i, code in enumerate(CLASSES):
        for j, block in enumerate(BLOCKS.get(code, ("0001-1000",))):
            first = int(block.split("-")[0])
            for n in (first, first + 1):
                write_picture(root / code / block / f"{code}_{n:05d}.jpg", 32, 32, seed=1000 * i + 10 * j + n % 10)
    shutil.copyfile(root / AGREEING[0], root / AGREEING[1])
    return folder
