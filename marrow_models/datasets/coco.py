"""COCO: one or several JSON files with ``images``, ``annotations`` and ``categories``, and the pictures.

A JSON file or a folder (or tar) that holds some is taken; the split is in its name or in that of its folder
(``instances_train.json``, ``valid/_annotations.coco.json``). Crowd regions (``iscrowd``) are ignored.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from marrow_models.datasets.images import size_of
from marrow_models.datasets.marker import Marker, chosen_taxonomy
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import DataSet, MarkedCell, Picture
from marrow_models.datasets.tree import Tree, open_tree, split_of
from marrow_models.errors import UserError

_LISTS = ("images", "annotations", "categories")
_WORDS = re.compile(r"[A-Za-z]+")

Item = Mapping[str, object]


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read a COCO data set; UserError where no file has the three lists, or a picture is missing or ambiguous."""
    tree = open_tree(path.parent if path.suffix.lower() == ".json" else path)
    taxonomy = chosen_taxonomy(options, "coco")
    marker = Marker(taxonomy, tree.root)
    names = [path.name] if path.suffix.lower() == ".json" else [n for n in tree.names if n.lower().endswith(".json")]
    files = [(name, content) for name in names if (content := _lists(tree, name)) is not None]
    if not files:
        raise tree.wrong_layout("coco", "a .json file with the lists images, annotations and categories")
    by_name = _by_file_name(tree)
    pictures = [
        picture
        for name, content in files
        for picture in _pictures(tree, name, content, by_name, marker, options.um_per_px)
    ]
    return DataSet(
        "coco", path, tuple(pictures), taxonomy, "not stated", "a data set of the user", notes=marker.notes()
    )


def _lists(tree: Tree, name: str) -> Mapping[str, Sequence[Item]] | None:
    """The three lists of objects in a JSON file; None where it is a file of another kind."""
    try:
        content = json.loads(tree.text(name))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{tree.where(name)}: not valid JSON ({error}). Correct or remove the file.") from error
    if not isinstance(content, dict) or not all(key in content for key in _LISTS):
        return None
    for key in _LISTS:
        if not isinstance(content[key], list) or not all(isinstance(item, dict) for item in content[key]):
            raise UserError(f"{tree.where(name)}: {key} must be a list of objects.")
    return {key: content[key] for key in _LISTS}


def _by_file_name(tree: Tree) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for picture in tree.pictures():
        found[PurePosixPath(picture).name].append(picture)
    return found


def _pictures(
    tree: Tree,
    name: str,
    content: Mapping[str, Sequence[Item]],
    by_name: Mapping[str, Sequence[str]],
    marker: Marker,
    um_per_px: float | None,
) -> list[Picture]:
    where, split = tree.where(name), _split(name)
    categories = {
        _whole(c, "id", f"{where}, categories"): _text(c, "name", f"{where}, categories") for c in content["categories"]
    }
    marked: dict[int, list[Item]] = defaultdict(list)
    for item in content["annotations"]:
        marked[_whole(item, "image_id", f"{where}, annotations")].append(item)
    found, seen = [], set()
    for image in content["images"]:
        number, file_name = _whole(image, "id", f"{where}, images"), _text(image, "file_name", f"{where}, images")
        if number in seen:
            raise UserError(f"{where}: two images have the id {number}. Correct the file.")
        seen.add(number)
        ref = tree.ref(_located(tree, file_name, by_name, split, where))
        size = size_of(ref)
        _check_size(image, size, f"{where}, {file_name}")
        cells = [_cell(item, categories, size, f"{where}, {file_name}", marker) for item in marked.pop(number, [])]
        found.append(Picture(ref, *size, um_per_px, tuple(c for c in cells if c is not None), split=split))
    if marked:
        raise UserError(f"{where}: annotations name image_id {min(marked)}, which is not among the images.")
    return sorted(found, key=lambda picture: str(picture.image.member or picture.image.path))


def _located(tree: Tree, file_name: str, by_name: Mapping[str, Sequence[str]], split: str | None, where: str) -> str:
    """The picture that an entry means: writers give its bare name, or a path from any of several folders."""
    wanted = PurePosixPath(file_name.replace("\\", "/"))
    tail = [part for part in wanted.parts if part not in ("/", ".", "..")]
    found = by_name.get(wanted.name, ())
    for length in range(len(tail), 0, -1):
        ending = tuple(tail[-length:])
        fitting = [name for name in found if PurePosixPath(name).parts[-length:] == ending]
        if len(fitting) > 1 and split is not None:
            fitting = [n for n in fitting if any(split_of(p) == split for p in PurePosixPath(n).parts[:-1])] or fitting
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise UserError(f"{where}: {file_name} may be {fitting[0]} or {fitting[1]}. Name the folder in file_name.")
    raise UserError(f"{where}: its picture {file_name} is not below {tree.root}. Add it, or remove its entry.")


def _cell(
    item: Item, categories: Mapping[int, str], size: tuple[int, int], where: str, marker: Marker
) -> MarkedCell | None:
    category = _whole(item, "category_id", where)
    if category not in categories:
        raise UserError(f"{where}: category_id {category} is not among the categories.")
    box = item.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        raise UserError(f"{where}: bbox must be four numbers, left, top, width and height.")
    left, top, width, height = (float(value) for value in box)
    crowd = item.get("iscrowd", 0) in (1, True)
    return marker.boxed(categories[category], (left, top, left + width, top + height), size, where, ignored=crowd)


def _check_size(image: Item, size: tuple[int, int], where: str) -> None:
    stated = (image.get("width", size[0]), image.get("height", size[1]))
    if stated != size:
        raise UserError(f"{where}: says {stated[0]} x {stated[1]} px, but the picture has {size[0]} x {size[1]} px.")


def _split(name: str) -> str | None:
    path = PurePosixPath(name)
    words = [word for part in (path.stem, *reversed(path.parts[:-1])) for word in _WORDS.findall(part)]
    return next((split for word in words if (split := split_of(word)) is not None), None)


def _whole(item: Item, key: str, where: str) -> int:
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{where}: {key} must be a whole number in every entry.")
    return value


def _text(item: Item, key: str, where: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise UserError(f"{where}: {key} must be a text in every entry.")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
