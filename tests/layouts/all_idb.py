"""ALL-IDB 1 and 2: fields with centroids of blasts, two of them the same picture, and single cells."""

from __future__ import annotations

import shutil
from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture, write_text

OPTIONS = ReadOptions(um_per_px_by_domain=(("ALL_IDB1", 0.2), ("ALL_IDB2", 0.1)))
WRONG = "xyc"

CENTROIDS = {"Im001_1": "886\t726\n1007\t30\n", "Im002_1": "10 12\r\n\r\n", "Im093_0": "", "Im108_0": ""}
SIZES = {"Im001_1": (1712, 1368)}


def write(folder: Path) -> Path:
    write_fields(folder / "ALL_IDB1")
    write_cells(folder / "ALL_IDB2")
    return folder


def write_fields(folder: Path) -> Path:
    for n, (name, text) in enumerate(CENTROIDS.items()):
        write_picture(folder / "im" / f"{name}.jpg", *SIZES.get(name, (90, 70)), seed=n)
        write_text(folder / "xyc" / f"{name}.xyc", text)
    shutil.copyfile(folder / "im" / "Im093_0.jpg", folder / "im" / "Im108_0.jpg")
    return folder


def write_cells(folder: Path) -> Path:
    for n, name in enumerate(("Im001_1", "Im002_1", "Im131_0", "Im132_0")):
        write_picture(folder / "img" / f"{name}.tif", 33, 33, seed=50 + n)
    return folder
