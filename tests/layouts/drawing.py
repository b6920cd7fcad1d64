"""Pictures of nothing in particular, quick to write and each different from the next."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]


def drawing(width_px: int, height_px: int, seed: int = 0):
    """RGB pixels, shape (height, width, 3): pale ground with a dark disc in the middle."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height_px, width_px, 3), (232, 222, 228), np.uint8)
    y, x = np.ogrid[:height_px, :width_px]
    radius = min(width_px, height_px) / 3
    disc = (x - width_px / 2) ** 2 + (y - height_px / 2) ** 2 < radius**2
    pixels[disc] = rng.integers(60, 160, 3)
    return pixels


def write_picture(path: Path, width_px: int = 64, height_px: int = 48, seed: int | None = None) -> Path:
    """Write a drawing in the format that the ending of ``path`` says; the name chooses its colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.name.encode()) if seed is None else seed
    Image.fromarray(drawing(width_px, height_px, seed)).save(path)
    return path


def yolo_line(index: int, box: Box, width_px: int, height_px: int, *extra: float) -> str:
    """A line of a YOLO label file, with the six digits that the tools of the field write."""
    left, top, right, bottom = box
    values = ((left + right) / 2 / width_px, (top + bottom) / 2 / height_px, (right - left) / width_px,
              (bottom - top) / height_px)  # fmt: skip
    return " ".join([str(index), *(f"{value:.6f}" for value in values), *(f"{value:g}" for value in extra)])


def write_text(path: Path, text: str) -> Path:
    """Write a text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def voc_xml(name: str, size: tuple[int, int], objects: list[tuple[str, Box, int]]) -> str:
    """An annotation file as LabelImg writes it; an object is (class, box, difficult)."""
    rows = "".join(
        f"\t<object>\n\t\t<name>{raw}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n"
        f"\t\t<difficult>{difficult}</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{box[0]}</xmin>\n\t\t\t<ymin>{box[1]}"
        f"</ymin>\n\t\t\t<xmax>{box[2]}</xmax>\n\t\t\t<ymax>{box[3]}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for raw, box, difficult in objects
    )
    return (
        f"<annotation>\n\t<folder>JPEGImages</folder>\n\t<filename>{name}</filename>\n\t<size>\n"
        f"\t\t<width>{size[0]}</width>\n\t\t<height>{size[1]}</height>\n\t\t<depth>3</depth>\n\t</size>\n"
        f"\t<segmented>0</segmented>\n{rows}</annotation>\n"
    )


def packed(folder: Path, archive: Path, *, compressed: bool = False) -> Path:
    """Pack the content of a folder into a tar archive, names relative to the folder."""
    with tarfile.open(archive, "w:gz" if compressed else "w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                info, data = tarfile.TarInfo(path.relative_to(folder).as_posix()), path.read_bytes()
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return archive
