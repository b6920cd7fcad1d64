"""MLL23: single cells of adult peripheral blood in 18 class folders (Sci Data 2025;12:1773).

Layout: one folder a class, ``.tif`` of 288 x 288 px = 25 x 25 um. No patients and no split are published. Some
pictures are there twice under different classes; they are found by content and kept out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marrow_models.datasets.cell_folders import joined, one_cell, open_folders
from marrow_models.datasets.duplicates import without_conflicts
from marrow_models.datasets.records import DataSet
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from pathlib import Path

    from marrow_models.datasets.options import ReadOptions

UM_PER_PX = 25 / 288
"""0.0868 um, as published: 11.52 px a micrometre."""
_SUFFIXES = frozenset({".tif", ".tiff"})


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read MLL23 from a folder or plain tar with the 18 class folders; UserError where one is missing or empty."""
    taxonomy = load_taxonomy("blood18")
    folders = open_folders(path, "mll23")
    root = folders.class_root(taxonomy.labels)
    pictures = [
        one_cell(folders.tree.ref(name), label, label, um_per_px=UM_PER_PX)
        for label in taxonomy.labels
        for name in folders.pictures(joined(root, label), _SUFFIXES)
    ]
    kept, notes = without_conflicts(pictures)
    return DataSet(
        name="mll23",
        path=path,
        pictures=kept,
        taxonomy=taxonomy,
        licence="not stated",
        source="10.5281/zenodo.14277609",
        notes=notes,
    )
