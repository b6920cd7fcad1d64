"""YOLO label files: a line a box, ``class x y width height`` as fractions of the picture.

Folders as the field uses them: ``images/[SPLIT/]`` beside ``labels/[SPLIT/]``, ``SPLIT/images`` beside
``SPLIT/labels``, or labels beside their pictures. Class names come from ``data.yaml`` or ``classes.txt``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from marrow_models.datasets.images import size_of
from marrow_models.datasets.marker import Marker, chosen_taxonomy, number
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import Box, DataSet, Picture
from marrow_models.datasets.tree import Tree, open_tree, split_of
from marrow_models.errors import UserError

_COLUMNS = 5
_BEYOND = 0.05
"""Published boxes reach a little over the edge (OI-PBC has one of zero size there); pixels are far beyond that."""
_NAME_LISTS = ("classes.txt", "obj.names", "labels/classes.txt")
_YAMLS = ("data.yaml", "data.yml", "dataset.yaml")
_LARGEST_YAML_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class YoloLine:
    """One line of a label file."""

    class_index: int
    centre_x: float
    """Fraction of the picture's width."""
    centre_y: float
    width: float
    height: float
    extra: tuple[float, ...]
    """Columns after the fifth."""

    def box_px(self, width_px: int, height_px: int) -> Box:
        """The box in pixels of a picture of that size."""
        half_x, half_y = self.width / 2, self.height / 2
        return (
            (self.centre_x - half_x) * width_px,
            (self.centre_y - half_y) * height_px,
            (self.centre_x + half_x) * width_px,
            (self.centre_y + half_y) * height_px,
        )


def parse_lines(text: str, where: str, extra_columns: Sequence[int] = (0,)) -> tuple[YoloLine, ...]:
    """The boxes of one label file, in order; ``extra_columns`` are the numbers of columns allowed after the fifth.

    UserError, opening with ``where`` and the line, for another number of columns, for what is no number, and for
    a centre or size that is no fraction of the picture.
    """
    lines = (line.split() for line in text.splitlines())
    return tuple(_line(columns, f"{where}, line {n}", extra_columns) for n, columns in enumerate(lines, 1) if columns)


def label_name(picture: str) -> str:
    """Where the label file of a picture is: in the folder ``labels`` for ``images``, else beside the picture."""
    path = PurePosixPath(picture)
    parts = list(path.parts[:-1])
    for place in range(len(parts) - 1, -1, -1):
        if parts[place].lower() == "images":
            parts[place] = "labels" if parts[place] == "images" else "Labels"
            break
    return PurePosixPath(*parts, f"{path.stem}.txt").as_posix()


def split_in(name: str) -> str | None:
    """The split that one of the folders of a file is named after; None where none is."""
    return next((split for part in PurePosixPath(name).parts[:-1] if (split := split_of(part))), None)


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read a YOLO data set; a picture without a label file shows nothing that was asked for.

    UserError for label files with other than five columns: only their own reader knows what the others mean.
    """
    tree = open_tree(path)
    marker = Marker(chosen_taxonomy(options, "yolo"), path)
    files = set(tree.names)
    if not any(label_name(picture) in files for picture in tree.pictures()):
        raise tree.wrong_layout("yolo", "pictures in images/ and their label files (.txt) in labels/, or beside them")
    pictures = labelled_pictures(tree, class_names(tree), marker, options.um_per_px)
    return DataSet(
        "yolo", path, pictures, marker.taxonomy, "not stated", "a data set of the user", notes=marker.notes()
    )


def labelled_pictures(tree: Tree, names: Sequence[str], marker: Marker, um_per_px: float | None) -> tuple[Picture, ...]:
    """All pictures of a tree with the boxes of their label files, by name; ``names`` are those of the classes.

    UserError for a label file without its picture, and for a class index that has no name.
    """
    files = set(tree.names)
    pictures = tree.pictures()
    claimed = {label_name(picture) for picture in pictures}
    for name in tree.names:
        stray = name.endswith(".txt") and "labels" in PurePosixPath(name).parts and name not in claimed
        if stray and PurePosixPath(name).name != "classes.txt":
            raise UserError(
                f"{tree.where(name)}: a label file without its picture. Add the picture or remove the file."
            )
    return tuple(
        _picture(tree, picture, label_name(picture) if label_name(picture) in files else None, names, marker, um_per_px)
        for picture in pictures
    )


def class_names(tree: Tree) -> tuple[str, ...]:
    """The names of the classes by index, from ``data.yaml`` or ``classes.txt``; UserError where there is neither."""
    for name in _YAMLS:
        if name in tree.names:
            return _yaml_names(tree, name)
    for name in _NAME_LISTS:
        if name in tree.names:
            return name_list(tree, name)
    raise tree.wrong_layout("yolo", "the names of the classes in data.yaml or classes.txt")


def name_list(tree: Tree, name: str) -> tuple[str, ...]:
    """The names in a file with one name a line."""
    names = [line.strip() for line in tree.text(name).splitlines()]
    while names and not names[-1]:
        names.pop()
    return _checked(names, tree.where(name))


def _yaml_names(tree: Tree, name: str) -> tuple[str, ...]:
    where, text = tree.where(name), tree.text(name)
    if len(text) > _LARGEST_YAML_BYTES:
        raise UserError(f"{where}: larger than {_LARGEST_YAML_BYTES} bytes; this is no description of a data set.")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{where}: not valid YAML. Correct the file.") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        names = [names.get(index) for index in range(len(names))]
    if not isinstance(names, list):
        raise UserError(f"{where}: names must be a list of the class names, or 0: NAME, 1: NAME, ...")
    return _checked(names, where)


def _checked(names: Sequence[object], where: str) -> tuple[str, ...]:
    texts = tuple(name for name in names if isinstance(name, str) and name.strip())
    if not texts or len(texts) != len(names) or len(set(texts)) != len(texts):
        raise UserError(f"{where}: every class needs a name of its own, counted from 0.")
    return texts


def _picture(
    tree: Tree, picture: str, label: str | None, names: Sequence[str], marker: Marker, um_per_px: float | None
) -> Picture:
    size = size_of(tree.ref(picture))
    cells = []
    if label is not None:
        for line in parse_lines(tree.text(label), tree.where(label)):
            if line.class_index >= len(names):
                known = f"there are names for 0 to {len(names) - 1} only"
                raise UserError(f"{tree.where(label)}: class {line.class_index}, but {known}.")
            cells.append(marker.boxed(names[line.class_index], line.box_px(*size), size, tree.where(label)))
    found = tuple(cell for cell in cells if cell is not None)
    return Picture(tree.ref(picture), *size, um_per_px, found, split=split_in(picture))


def _line(columns: Sequence[str], where: str, extra_columns: Sequence[int]) -> YoloLine:
    if len(columns) - _COLUMNS not in extra_columns:
        allowed = " or ".join(str(_COLUMNS + extra) for extra in extra_columns)
        raise UserError(
            f"{where}: {len(columns)} columns, but {allowed} are known (class, centre x and y, width, height). "
            "Columns of another meaning need the reader of their own data set."
        )
    values = [number(text, where, f"column {n}") for n, text in enumerate(columns, 1)]
    index = int(values[0])
    if index != values[0] or index < 0:
        raise UserError(f"{where}: the class must be a whole number from 0, not {columns[0]}.")
    if not all(-_BEYOND <= value <= 1 + _BEYOND for value in values[1:_COLUMNS]):
        raise UserError(f"{where}: centre and size must be fractions of the picture, from 0 to 1; are these pixels?")
    centre_x, centre_y, width, height = values[1:_COLUMNS]
    return YoloLine(index, centre_x, centre_y, width, height, tuple(values[_COLUMNS:]))
