"""LeukemiaAttri and LLD in every published form: domains with json, README's COCO, and both kinds of lines."""

from __future__ import annotations

import json
from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import Box, write_picture, write_text, yolo_line

OPTIONS = ReadOptions(um_per_px_by_domain=(("H_100X_C1", 0.11), ("L_40X_C2", 0.27)))
WRONG = "json_labels"

SIZE = (96, 80)
NAMES = (
    *("none", "myeloblast", "lymphoblast", "neutrophil", "atypical lymphocyte", "promonocyte", "monoblast"),
    *("lymphocyte", "myelocyte", "abnormal promyelocyte", "monocyte", "metamyelocyte", "eosinophil", "basophil"),
)
KEYS = (
    *("cell_size", "nuclear_chromatio", "nuclear_shape", "nucleolus", "cytoplasm", "cytoplasmic_basophilia"),
    "cytoplasmic_vacuoles",
)
BLAST: Box = (10, 12, 40, 44)
OTHER: Box = (50, 20, 70, 46)
ARTEFACT: Box = (5, 60, 20, 75)
FIELDS = {
    "train": ("1_3_1_1000_AML.png", "12_15_1000_ALL.png"),
    "test": ("2_7_1000_AML.png", "4_15_1000_ALL.png"),
}
"""Patients 1 and 12 are the authors' training patients, 2 and 4 are in the test."""

Mark = tuple[int, Box, tuple[int | None, ...]]
MARKS: tuple[Mark, ...] = (
    (1, BLAST, (2, 0, 1, 1, 0, 1, 0)),
    (3, OTHER, (1, 1, 2, 4, 1, 0, None)),
    (0, ARTEFACT, (4, 4, 4, 4, 4, 4, 4)),
)
"""Class, box, attributes with the cell size first; 2 is a size, and nothing for the others."""


def write(folder: Path) -> Path:
    root = folder / "LeukemiaAttri_Dataset"
    write_domain(root / "H_100X_C1", "Images", FIELDS)
    wrong_side = {"train": (*FIELDS["train"], "2_7_400_AML.png"), "test": ("4_15_400_ALL.png",)}
    write_domain(root / "L_40X_C2", "images", wrong_side, lost="12_99_400_ALL.png")
    for split, names in FIELDS.items():  # a domain whose labels were left in the archive
        for n, name in enumerate(names):
            write_picture(root / "L_100X_C2" / "Images" / split / name, *SIZE, seed=700 + n)
    (root / "L_100X_C2" / "labels.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    return folder


def write_domain(folder: Path, images: str, fields: dict[str, tuple[str, ...]], *, lost: str | None = None) -> None:
    for split, names in fields.items():
        for n, name in enumerate(names):
            write_picture(folder / images / split / name, *SIZE, seed=len(folder.name) * 100 + ord(split[1]) + n)
        named = (*names, lost) if lost and split == "train" else names
        write_text(folder / "json_labels" / f"{split}.json", json.dumps(coco(named)))


def coco(names: tuple[str, ...], marks: tuple[Mark, ...] = MARKS, *, corners: bool = False) -> dict[str, list]:
    """A label file as the release has it: attributes in the annotation, one of their names cut off."""
    annotations = []
    for image_id, _ in enumerate(names, 1):
        for index, (left, top, right, bottom), codes in marks:
            bbox = [left, top, right, bottom] if corners else [left, top, right - left, bottom - top]
            item = {"id": len(annotations) + 1, "image_id": image_id, "category_id": index, "bbox": bbox, "iscrowd": 0}
            annotations.append({**item, "category_name": NAMES[index], **dict(zip(KEYS, codes, strict=True))})
    return {
        "images": [{"id": i, "file_name": n, "width": SIZE[0], "height": SIZE[1]} for i, n in enumerate(names, 1)],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES)],
    }


def write_readme_coco(folder: Path) -> Path:
    """As in the READMEs, with the attributes in an object of their own under the names of the patients' tables."""
    columns = (
        *("Cell Size", "Nuclear Chromation", "Nuclear shape", "Nucleous", "Cytoplasm", "Cytoplasmic basophilia"),
        "Cytoplasmic vacuoles",
    )
    for split, names in FIELDS.items():
        content = coco(names)
        for item in content["annotations"]:
            item["attributes"] = {column: item.pop(key) for column, key in zip(columns, KEYS, strict=True)}
            del item["category_name"]
        write_text(folder / "COCO Dataset" / "Annotations" / f"{split}.json", json.dumps(content))
        for n, name in enumerate(names):
            write_picture(folder / "COCO Dataset" / "Images" / split / name, *SIZE, seed=ord(split[1]) + n)
    return folder


def write_lines(folder: Path, *, attributes: int = 6, patch: tuple[float, ...] = (), labels: str = "labels") -> Path:
    """Pictures, and lines with 6, 7 (cell size first) or 0 ``attributes``; ``patch``: the sparse set's rectangle."""
    for split, names in FIELDS.items():
        for n, name in enumerate(names):
            write_picture(folder / "images" / split / name, *SIZE, seed=ord(split[1]) + n)
            lines = [line(mark, attributes=attributes, patch=patch) for mark in MARKS]
            write_text(folder / labels / split / f"{Path(name).stem}.txt", "\n".join(lines) + "\n")
    return folder


def line(mark: Mark, *, attributes: int = 6, patch: tuple[float, ...] = ()) -> str:
    index, box, codes = mark
    given = [2 if code in (None, 4) else code for code in codes][7 - attributes :] if attributes else []
    return yolo_line(index, box, *SIZE, *patch, *given)
