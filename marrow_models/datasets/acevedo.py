"""Acevedo PBC: single cells of normal donors, ``PBC_dataset_normal_DIB/CLASS/PREFIX_NUMBER.jpg``.

Eight folders; the prefix tells 13 classes. ``NEUTROPHIL`` and ``IG`` do not tell the stage, and are ignored.
Where the tables of WBCAtt (``pbc_attr_v1_{train,val,test}.csv``) lie in the same folder, they give split and
attributes of the pictures they list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from marrow_models.datasets.attributes import checked_attributes, load_schema
from marrow_models.datasets.class_folder import prefix_of, single_cells
from marrow_models.datasets.marker import Marker
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import SPLITS, DataSet, Picture
from marrow_models.datasets.table import rows_of
from marrow_models.datasets.tree import Tree, open_tree
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

UM_PER_PX = 0.10
"""360 x 363 px are 36.0 x 36.3 um."""
FOLDERS: Mapping[str, tuple[str, ...]] = {
    "basophil": ("BA",),
    "eosinophil": ("EO",),
    "erythroblast": ("ERB",),
    "ig": ("MY", "MMY", "PMY", "IG"),
    "lymphocyte": ("LY",),
    "monocyte": ("MO",),
    "neutrophil": ("SNE", "BNE", "NEUTROPHIL"),
    "platelet": ("PLATELET",),
}
"""Folder to the prefixes of its files."""
_TOP = "PBC_dataset_normal_DIB"


@dataclass(frozen=True, slots=True)
class _Described:
    split: str
    attributes: Mapping[str, str]


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read the data set; UserError where a class folder is missing, or a file is in the folder of another class."""
    given = tree = open_tree(path)
    if not tree.has_folder("basophil") and tree.has_folder(_TOP) and not tree.is_archive:
        tree = open_tree(path / _TOP)
    if missing := [folder for folder in FOLDERS if not tree.has_folder(folder)]:
        raise tree.wrong_layout("acevedo", f"the folders {', '.join(FOLDERS)} (missing: {', '.join(missing)})")
    marker = Marker(load_taxonomy("pbc11"), path)
    names = [name for folder in FOLDERS for name in tree.pictures(folder)]
    described = _wbcatt(tree) or _wbcatt(given)
    pictures = single_cells(tree, names, marker, UM_PER_PX, lambda name: _raw_label(name, tree))
    found = tuple(_with(picture, described) for picture in pictures)
    for name in sorted(described.keys() - {PurePosixPath(name).name for name in names}):
        marker.note("pictures of the WBCAtt tables that are not there", name)
    return DataSet(
        "acevedo",
        path,
        found,
        marker.taxonomy,
        "CC BY 4.0" + (" (attributes MIT)" if described else ""),
        "doi 10.17632/snkd93bnjr.1" + (", apple2373/wbcatt" if described else ""),
        attributes=load_schema("wbcatt11") if described else None,
        notes=marker.notes(),
    )


def _raw_label(name: str, tree: Tree) -> str:
    folder, raw = name.split("/", 1)[0], prefix_of(name)
    if raw not in FOLDERS[folder]:
        raise UserError(
            f"{tree.where(name)}: a file in {folder}/ must begin with {' or '.join(FOLDERS[folder])} and _; "
            "move it to the folder of its class."
        )
    return raw


def _wbcatt(tree: Tree) -> dict[str, _Described]:
    """File name to split and attributes, from those of the three tables that are there."""
    schema = load_schema("wbcatt11")
    found: dict[str, _Described] = {}
    for split in SPLITS:
        name = f"pbc_attr_v1_{split}.csv"
        if name not in tree.names:
            continue
        for line, row in enumerate(rows_of(tree, name, ("img_name", *schema.values)), 2):
            where, image = f"{tree.where(name)}, line {line}", row["img_name"]
            if image in found:
                raise UserError(f"{where}: {image} is listed twice, in {found[image].split} and {split}.")
            found[image] = _Described(split, checked_attributes(schema, {k: row[k] for k in schema.values}, where))
    return found


def _with(picture: Picture, described: Mapping[str, _Described]) -> Picture:
    known = described.get(picture.image.name)
    if known is None:
        return picture
    (cell,) = picture.cells
    return replace(picture, split=known.split, cells=(replace(cell, attributes=known.attributes),))
