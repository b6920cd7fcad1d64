"""TXL-PBC: fields of peripheral blood with boxes of white cells, red cells and platelets (lugan113/TXL-PBC_Dataset).

Read as published (``images|labels/{train,val,test}``) and as flat ``images/`` and ``labels/``, unpacked or in a
tar archive. The boxes were proposed by a model and reviewed by people.
"""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets import yolo
from marrow_models.datasets.marker import Marker
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import DataSet
from marrow_models.datasets.tree import open_tree
from marrow_models.taxonomy import load_taxonomy

NAMES = ("WBC", "RBC", "Platelets")
"""Class index to name, as the authors number them."""


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read the data set; UserError where ``images`` or ``labels`` is missing."""
    tree = open_tree(path)
    if not tree.pictures("images") or not tree.has_folder("labels"):
        raise tree.wrong_layout("txl_pbc", "images/ with pictures and labels/ with a .txt for each")
    marker = Marker(load_taxonomy("blood3"), path)
    pictures = yolo.labelled_pictures(tree, NAMES, marker, options.um_per_px)
    return DataSet("txl_pbc", path, pictures, marker.taxonomy, "MIT", "lugan113/TXL-PBC_Dataset", notes=marker.notes())
