"""Class folders with blocks of pictures, as laboratories keep them, below a folder for each split."""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture, write_text

OPTIONS = ReadOptions(taxonomy="bmc21", um_per_px=0.17)
WRONG = "train"


def write(folder: Path) -> Path:
    for name in ("BLA/0001-1000/BLA_00001.jpg", "BLA/1001-1002/BLA_01001.jpg", "EBO/EBO_00001.png"):
        write_picture(folder / "train" / name)
    write_picture(folder / "train" / "LYT" / "photo 7.bmp")
    write_text(folder / "train" / "LYT" / "Thumbs.db", "not a picture")
    write_picture(folder / "train" / "LYT" / "._photo 7.bmp")
    return folder
