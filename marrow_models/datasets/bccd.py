"""BCCD: 640 x 480 px fields of peripheral blood with boxes of white cells, red cells and platelets.

Two releases: the first (Shenggan/BCCD_Dataset, ``BCCD/{Annotations,ImageSets,JPEGImages}``) and the one whose
boxes were corrected (MahmudulAlam/Complete-Blood-Cell-Count-Dataset, ``training/`` and ``testing/``). Neither
records its pixel size.
"""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets import voc
from marrow_models.datasets.marker import Marker
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import DataSet
from marrow_models.datasets.tree import open_tree
from marrow_models.taxonomy import load_taxonomy

FIRST, CLEANED = "Shenggan/BCCD_Dataset", "MahmudulAlam/Complete-Blood-Cell-Count-Dataset"


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read either release, from a folder or a tar archive; UserError where it is neither."""
    tree = open_tree(path)
    marker = Marker(load_taxonomy("blood3"), path)
    below = next((f for f in ("", "BCCD/") if tree.has_folder(f"{f}{voc.ANNOTATIONS}")), None)
    if below is not None:
        source, pictures = FIRST, voc.voc_folder(tree, below, "bccd", marker, options.um_per_px)
    elif tree.has_folder("training") and tree.has_folder("testing"):
        source, pictures = CLEANED, voc.beside_pictures(tree, "bccd", marker, options.um_per_px)
    else:
        raise tree.wrong_layout(
            "bccd",
            "training/ and testing/ (cleaned release), or BCCD/Annotations/ and BCCD/JPEGImages/ (first release)",
        )
    return DataSet("bccd", path, pictures, marker.taxonomy, "MIT", source, notes=marker.notes())
