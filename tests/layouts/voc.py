"""Pascal VOC with a difficult object, a picture without annotation and an annotation of size 0 x 0."""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import voc_xml, write_picture, write_text

OPTIONS = ReadOptions(taxonomy="blood3")
WRONG = "Annotations"


def write(folder: Path) -> Path:
    objects = [("WBC", (4, 5, 24, 26), 0), ("RBC", (30, 30, 64, 48), 1)]
    for name, size in (("a", (64, 48)), ("b", (64, 48)), ("c", (0, 0))):
        write_picture(folder / "JPEGImages" / f"{name}.jpg")
        write_text(folder / "Annotations" / f"{name}.xml", voc_xml(f"{name}.jpg", size, objects))
    write_picture(folder / "JPEGImages" / "unmarked.jpg")
    write_text(folder / "ImageSets" / "Main" / "train.txt", "a\n")
    write_text(folder / "ImageSets" / "Main" / "val.txt", "b\n")
    write_text(folder / "ImageSets" / "Main" / "trainval.txt", "a\nb\n")
    write_text(folder / "ImageSets" / "Main" / "test.txt", "c\n")
    return folder
