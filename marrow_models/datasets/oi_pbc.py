"""OI-PBC: boxes of every cell in pictures of Acevedo PBC (Mohamad-AbouAli/OI-PBC-Dataset, arXiv 2509.24595).

A folder with ``classes.txt`` and either ``train.tar``, ``val.tar``, ``test.tar`` or what these hold
(``images/SPLIT``, ``labels/SPLIT``); ``cells.csv`` gives the WBCAtt attributes of the cell at the centre.
The pictures are CC BY 4.0 and the attributes MIT, but the boxes have no licence: :func:`central_cells` gives the
same pictures without them, for weights that are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from marrow_models.datasets import yolo
from marrow_models.datasets.attributes import checked_attributes, load_schema
from marrow_models.datasets.class_folder import prefix_of
from marrow_models.datasets.marker import NONE, Marker
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import SPLITS, DataSet, Picture
from marrow_models.datasets.table import rows_of
from marrow_models.datasets.tree import Tree, open_tree
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

UM_PER_PX = 0.10
"""CellaVision DM96: 360 px are 36.0 um."""
NAMES, CELLS = "classes.txt", "cells.csv"
_RED_CELL = "rbc"
_OTHER_SPELLING = {"PLATELET": "PLT"}
"""File names and class list spell one class in two ways."""

Attributes = Mapping[str, Mapping[str, str]]


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read the boxes, with the attributes of a picture at the cell of its centre.

    That is the marked cell nearest to the centre, red cells aside: the analyser centres on what it looks for.
    UserError where ``classes.txt`` or all pictures are missing.
    """
    tree = open_tree(path)
    parts = [open_tree(path / f"{split}.tar") for split in SPLITS if f"{split}.tar" in tree.names]
    parts = parts or ([tree] if tree.has_folder("images") else [])
    if NAMES not in tree.names or not parts or tree.is_archive:
        raise tree.wrong_layout("oi_pbc", f"{NAMES} and train.tar, val.tar or test.tar (or images/ and labels/)")
    marker, names = Marker(load_taxonomy("pbc12"), path), yolo.name_list(tree, NAMES)
    attributes = _attributes(tree)
    pictures = [p for part in parts for p in yolo.labelled_pictures(part, names, marker, UM_PER_PX)]
    return DataSet(
        "oi_pbc",
        path,
        tuple(_described(picture, attributes.get(picture.image.name, NONE), marker) for picture in pictures),
        marker.taxonomy,
        "pictures CC BY 4.0, attributes MIT, boxes not stated",
        "Mohamad-AbouAli/OI-PBC-Dataset on doi 10.17632/snkd93bnjr.1",
        attributes=load_schema("wbcatt11"),
        notes=marker.notes(),
    )


def read_cells(path: Path, options: ReadOptions) -> DataSet:
    """Read the pictures as single cells, without any use of a box; see :func:`central_cells`."""
    return central_cells(read(path, options))


def central_cells(data_set: DataSet) -> DataSet:
    """The pictures of a data set of :func:`read` as single cells of ``pbc11``, without any use of a box.

    The class is that of the file name (BA, SNE, ...), the attributes are those of ``cells.csv``.
    """
    attributes = _attributes(open_tree(data_set.path))
    marker = Marker(load_taxonomy("pbc11"), data_set.path)
    pictures = []
    for picture in data_set.pictures:
        name = picture.image.name
        cell = marker.whole(prefix_of(name), name, attributes.get(name, NONE))
        pictures.append(replace(picture, cells=(cell,)))
    return replace(
        data_set,
        name="pbc_cells",
        pictures=tuple(pictures),
        taxonomy=marker.taxonomy,
        licence="pictures CC BY 4.0, attributes MIT",
        source="doi 10.17632/snkd93bnjr.1, apple2373/wbcatt",
        notes=("classes are those of the file names; no box was used",),
    )


def _attributes(tree: Tree) -> Attributes:
    """File name of a picture to its attributes; empty where the table is not there."""
    if CELLS not in tree.names:
        return {}
    schema, found = load_schema("wbcatt11"), {}
    for line, row in enumerate(rows_of(tree, CELLS, ("image", "cell_class", *schema.values)), 2):
        name, where = row["image"], f"{tree.where(CELLS)}, line {line}"
        if name in found:
            raise UserError(f"{where}: {name} has an earlier row. A picture has one.")
        if row["cell_class"] != prefix_of(name):
            raise UserError(f"{where}: cell_class is {row['cell_class']!r}, but the file is called {name}.")
        found[name] = checked_attributes(schema, {key: row[key] for key in schema.values}, where)
    return found


def _described(picture: Picture, attributes: Mapping[str, str], marker: Marker) -> Picture:
    """The picture with ``attributes`` at its central cell; a class other than the file name's is noted, and stays."""
    name = picture.image.name
    centre = _central(picture)
    if centre is None:
        marker.note("pictures in which only red cells are marked, attributes left out", name)
        return picture
    named = prefix_of(name)
    if picture.cells[centre].raw_label != _OTHER_SPELLING.get(named, named):
        marker.note("central cells marked with another class than that of the file name, kept as marked", name)
    cells = list(picture.cells)
    cells[centre] = replace(cells[centre], attributes=attributes)
    return replace(picture, cells=tuple(cells))


def _central(picture: Picture) -> int | None:
    def distance(index: int) -> float:
        left, top, right, bottom = picture.cells[index].box_px or (0.0, 0.0, 0.0, 0.0)
        return float((left + right - picture.width_px) ** 2 + (top + bottom - picture.height_px) ** 2)

    candidates = [i for i, cell in enumerate(picture.cells) if cell.label != _RED_CELL]
    return min(candidates, key=distance) if candidates else None
