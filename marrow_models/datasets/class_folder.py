"""Pictures of one cell each in folders named after their class: ``[SPLIT/]CLASS/[BLOCK/...]picture``.

Where the taxonomy does not know a folder's name, or the pictures lie flat, the class is the file name up to its
first ``_`` (``BLA_00012.jpg``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from marrow_models.datasets.images import size_of
from marrow_models.datasets.marker import Marker, chosen_taxonomy
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import DataSet, Picture
from marrow_models.datasets.tree import Tree, open_tree, split_of
from marrow_models.errors import UserError


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read a tree of class folders; UserError for a picture whose class neither folder nor file name tells."""
    tree = open_tree(path)
    marker = Marker(chosen_taxonomy(options, "class_folder"), path)
    names = tree.pictures()
    if not names:
        raise tree.wrong_layout("class_folder", "a folder of pictures for each class, CLASS/ or train/CLASS/")
    pictures = single_cells(tree, names, marker, options.um_per_px, lambda name: _raw_label(name, tree, marker))
    return DataSet(
        "class_folder", path, pictures, marker.taxonomy, "not stated", "a data set of the user", notes=marker.notes()
    )


def single_cells(
    tree: Tree, names: Iterable[str], marker: Marker, um_per_px: float | None, raw_label: Callable[[str], str]
) -> tuple[Picture, ...]:
    """Pictures of one cell each, whose class ``raw_label`` takes from their names; the split is the top folder's."""
    found = []
    for name in names:
        ref = tree.ref(name)
        cell = marker.whole(raw_label(name), tree.where(name))
        found.append(Picture(ref, *size_of(ref), um_per_px, (cell,), split=split_of(name.split("/", 1)[0])))
    return tuple(found)


def prefix_of(name: str) -> str:
    """A file name up to its first ``_``."""
    return PurePosixPath(name).stem.split("_", 1)[0]


def _raw_label(name: str, tree: Tree, marker: Marker) -> str:
    folders = list(PurePosixPath(name).parts[:-1])
    if len(folders) > 1 and split_of(folders[0]) is not None:
        folders = folders[1:]
    candidates = [*folders[:1], prefix_of(name)]
    for raw in candidates:
        if _is_known(raw, marker):
            return raw
    known = ", ".join(marker.taxonomy.labels[:8])
    raise UserError(
        f"{tree.where(name)}: the taxonomy {marker.taxonomy.name} knows neither "
        f"{' nor '.join(repr(raw) for raw in candidates)} as a class (it has {known}, ...). "
        "Name the folder after its class, add the name as an alias, or choose another taxonomy."
    )


def _is_known(raw: str, marker: Marker) -> bool:
    try:
        marker.taxonomy.resolve(raw)
    except UserError:
        return False
    return True
