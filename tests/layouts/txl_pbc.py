"""TXL-PBC as published, and flat."""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture, write_text, yolo_line

OPTIONS = ReadOptions()
WRONG = "labels"


def write(folder: Path) -> Path:
    for place, (split, stem) in enumerate((("train", "0a"), ("train", "0b"), ("val", "1a"), ("test", "2a"))):
        _write_one(folder / "images" / split, folder / "labels" / split, stem, place)
    return folder


def write_flat(folder: Path) -> Path:
    """All pictures in one folder, all label files in another."""
    for stem in ("102f074b-4c29", "17c97fcc-f22e"):
        _write_one(folder / "images", folder / "labels", stem, 0)
    return folder


def _write_one(images: Path, labels: Path, stem: str, shift: int) -> None:
    write_picture(images / f"{stem}.jpg", 60, 60)
    boxes = ((1, (0, 20, 15, 40)), (0, (20 + shift, 20, 44 + shift, 45)), (2, (50, 50, 54, 54)))
    write_text(labels / f"{stem}.txt", "\n".join(yolo_line(index, box, 60, 60) for index, box in boxes))
