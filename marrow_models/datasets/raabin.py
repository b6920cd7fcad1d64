"""Raabin-WBC, the cropped and double-labelled subset: white cells of normal blood in five classes.

``Train`` and ``TestA`` come from one microscope and camera, ``TestB`` from others; pixel sizes are not stated, and
neither are patients. Whether the licence allows weights to be shipped is not stated on the site.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

from marrow_models.datasets.class_folder import single_cells
from marrow_models.datasets.marker import Marker
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import DataSet, Picture
from marrow_models.datasets.tree import open_tree
from marrow_models.taxonomy import load_taxonomy

SPLITS = {"Train": "train", "TestA": "test", "TestB": "test"}
"""Folder to split; the folder is the domain too."""


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read ``Train`` and, where they are there, ``TestA`` and ``TestB``; UserError where ``Train`` is missing."""
    tree = open_tree(path)
    marker = Marker(load_taxonomy("raabin5"), path)
    names = [name for name in tree.pictures() if name.split("/", 1)[0] in SPLITS and name.count("/") >= 2]
    if not tree.has_folder("Train") or not names:
        raise tree.wrong_layout("raabin", "Train/, TestA/ and TestB/, each with a folder a class (Train/Basophil/ ...)")
    sizes = dict(options.um_per_px_by_domain)
    pictures = single_cells(tree, names, marker, options.um_per_px, lambda name: PurePosixPath(name).parts[1])
    return DataSet(
        "raabin",
        path,
        tuple(_of_domain(picture, name.split("/", 1)[0], sizes) for picture, name in zip(pictures, names, strict=True)),
        marker.taxonomy,
        "not stated",
        "Raabin-WBC, doi 10.1038/s41598-021-04426-x",
        notes=marker.notes(),
    )


def _of_domain(picture: Picture, folder: str, sizes: dict[str, float]) -> Picture:
    return replace(picture, split=SPLITS[folder], domain=folder, um_per_px=sizes.get(folder, picture.um_per_px))
