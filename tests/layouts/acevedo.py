"""Acevedo PBC with the tables of WBCAtt beside its folders; the hidden file is in the published archive."""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets.attributes import load_schema
from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture, write_text

OPTIONS = ReadOptions()
WRONG = "ig"
FILES = (
    "basophil/BA_100102.jpg", "eosinophil/EO_10387.jpg", "erythroblast/ERB_1.jpg", "ig/MY_2.jpg", "ig/MMY_3.jpg",
    "ig/PMY_4.jpg", "ig/IG_5.jpg", "lymphocyte/LY_6.jpg", "monocyte/MO_7.jpg", "neutrophil/SNE_8.jpg",
    "neutrophil/BNE_9.jpg", "neutrophil/NEUTROPHIL_10.jpg", "platelet/PLATELET_11.jpg",
)  # fmt: skip
LISTED = {"train": ("BA_100102.jpg", "EO_10387.jpg"), "val": ("SNE_8.jpg",), "test": ("LY_6.jpg", "MO_99.jpg")}


def write(folder: Path) -> Path:
    pictures = folder / "PBC_dataset_normal_DIB"
    for name in (*FILES, "neutrophil/.DS_169665.jpg"):
        write_picture(pictures / name, 36, 36)
    for split, names in LISTED.items():
        write_text(folder / f"pbc_attr_v1_{split}.csv", wbcatt(names))
    return folder


def wbcatt(names: tuple[str, ...]) -> str:
    """A table of WBCAtt in which every attribute has its first value."""
    schema = load_schema("wbcatt11")
    rows = [",".join(["img_name", "label", *schema.values, "path"])]
    values = [known[0] for known in schema.values.values()]
    rows += [",".join([name, "Basophil", *values, f"PBC_dataset_normal_DIB/basophil/{name}"]) for name in names]
    return "\n".join(rows) + "\n"
