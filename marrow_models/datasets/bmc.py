"""Bone-Marrow-Cytomorphology_MLL_Helmholtz_Fraunhofer: 171,374 marrow cells in 21 classes (TCIA).

Layout: ``BM_cytomorphology_data/<CLS>/<0001-1000>/<CLS>_00001.jpg``, blocks of 1000, the last one shorter;
250 x 250 px. Neither patients nor the pixel size are published (40x objective): the latter is an option.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from marrow_models.datasets.cell_folders import Folders, joined, name_of, one_cell, open_folders
from marrow_models.datasets.duplicates import without_conflicts
from marrow_models.datasets.records import DataSet
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from pathlib import Path

    from marrow_models.datasets.options import ReadOptions

CLASSES = (  # the class folders
    *("ABE", "ART", "BAS", "BLA", "EBO", "EOS", "FGC", "HAC", "KSC", "LYI", "LYT"),
    *("MMZ", "MON", "MYB", "NGB", "NGS", "NIF", "OTH", "PEB", "PLM", "PMO"),
)
_BLOCK = re.compile(r"(\d{4,5})-(\d{4,5})", re.ASCII)
_SUFFIXES = frozenset({".jpg"})


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read the data set from ``BM_cytomorphology_data`` or the folder above it.

    UserError where a class folder is missing, has no blocks, or holds a picture of another class.
    """
    taxonomy = load_taxonomy("bmc21")
    folders = open_folders(path, "bmc")
    root = folders.class_root(CLASSES)
    pictures = [
        one_cell(folders.tree.ref(name), taxonomy.resolve(code), code, um_per_px=options.um_per_px)
        for code in CLASSES
        for block in _blocks(folders, joined(root, code))
        for name in _names(folders, block, code)
    ]
    kept, notes = without_conflicts(pictures)
    return DataSet(
        name="bmc",
        path=path,
        pictures=kept,
        taxonomy=taxonomy,
        licence="CC BY 4.0",
        source="10.7937/TCIA.AXH3-T579",
        notes=notes,
    )


def _blocks(folders: Folders, folder: str) -> list[str]:
    """The blocks in the order of their numbers, which is not that of their names beyond 9,999."""
    numbered = [(int(m[1]), block) for block in folders.below(folder) if (m := _BLOCK.fullmatch(name_of(block)))]
    if not numbered:
        raise folders.wrong(f"blocks such as {folder}/0001-1000 (a rearranged copy can be read as class_folder)")
    return [block for _, block in sorted(numbered)]


def _names(folders: Folders, block: str, code: str) -> tuple[str, ...]:
    names = folders.pictures(block, _SUFFIXES)
    if odd := [name for name in names if not name_of(name).startswith(f"{code}_")]:
        raise UserError(
            f"{folders.tree.where(odd[0])}: a picture in folder {code} is expected to be called {code}_00001.jpg and "
            "so on. Unpack the release again."
        )
    return names
