"""The cleaned BCCD (annotation beside the picture), and the first release (VOC folders below ``BCCD/``)."""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import voc_xml, write_picture, write_text

OPTIONS = ReadOptions(um_per_px=0.078)
WRONG = "training"
_OBJECTS = [("WBC", (26, 17, 49, 37), 0), ("RBC", (0, 20, 18, 48), 0), ("Platelets", (50, 2, 55, 8), 0)]
_NO_AREA = ("RBC", (30, 11, 30, 29), 0)


def write(folder: Path) -> Path:
    for split, number in (("training", 0), ("training", 1), ("testing", 343)):
        name = f"BloodImage_{number:05d}"
        write_picture(folder / split / f"{name}.jpg")
        write_text(folder / split / f"{name}.xml", voc_xml(f"{name}.jpg", (64, 48), [*_OBJECTS, _NO_AREA]))
    return folder


def write_first(folder: Path) -> Path:
    """The release of Shenggan: one split list a set, and its sample pictures beside the folder of data."""
    for number, split in ((0, "train"), (1, "val"), (2, "test")):
        name = f"BloodImage_{number:05d}"
        write_picture(folder / "BCCD" / "JPEGImages" / f"{name}.jpg")
        write_text(folder / "BCCD" / "Annotations" / f"{name}.xml", voc_xml(f"{name}.jpg", (64, 48), _OBJECTS))
        write_text(folder / "BCCD" / "ImageSets" / "Main" / f"{split}.txt", f"{name}\n")
    write_text(folder / "BCCD" / "ImageSets" / "Main" / "trainval.txt", "BloodImage_00000\nBloodImage_00001\n")
    write_picture(folder / "example.jpg")
    return folder
