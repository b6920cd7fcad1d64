"""Pascal VOC: an XML file a picture, beside it or in ``Annotations/`` with the pictures in ``JPEGImages/``.

Edges are taken as written: labelling tools of today write edges between pixels, counted from 0, not the pixel
numbers from 1 of the first challenge. Objects marked ``difficult`` are ignored, as that challenge scored them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from marrow_models.datasets.images import size_of
from marrow_models.datasets.marker import Marker, chosen_taxonomy, number
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import DataSet, MarkedCell, Picture
from marrow_models.datasets.tree import Tree, open_tree, split_of
from marrow_models.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

ANNOTATIONS, PICTURES, SETS = "Annotations", "JPEGImages", "ImageSets/Main"
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_LARGEST_XML_BYTES = 4 << 20


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read a VOC data set in one of the two layouts; UserError where there is neither."""
    tree = open_tree(path)
    marker = Marker(chosen_taxonomy(options, "voc"), path)
    if tree.has_folder(ANNOTATIONS):
        pictures = voc_folder(tree, "", "voc", marker, options.um_per_px)
    else:
        pictures = beside_pictures(tree, "voc", marker, options.um_per_px)
    return DataSet("voc", path, pictures, marker.taxonomy, "not stated", "a data set of the user", notes=marker.notes())


def voc_folder(tree: Tree, below: str, layout: str, marker: Marker, um_per_px: float | None) -> tuple[Picture, ...]:
    """Pictures of a tree with ``Annotations/``, ``JPEGImages/`` and, for the split, ``ImageSets/Main/``.

    ``below`` is the folder that holds these three, with a ``/`` at its end, or empty.
    """
    by_stem = {PurePosixPath(name).stem: name for name in tree.pictures(f"{below}{PICTURES}")}
    files = [n for n in tree.names if n.startswith(f"{below}{ANNOTATIONS}/") and n.endswith(".xml")]
    if not by_stem or not files:
        raise tree.wrong_layout(layout, f"{below}{ANNOTATIONS}/ with .xml files and {below}{PICTURES}/ with pictures")
    splits = _listed_splits(tree, below)
    found = []
    for name in files:
        stem = PurePosixPath(name).stem
        if stem not in by_stem:
            raise UserError(
                f"{tree.where(name)}: its picture is not in {below}{PICTURES}/. Add it, or remove the file."
            )
        found.append(_picture(tree, by_stem.pop(stem), name, splits.get(stem), marker, um_per_px))
    for stem in by_stem:
        marker.note("pictures without an annotation file, left out", stem)
    return tuple(found)


def beside_pictures(tree: Tree, layout: str, marker: Marker, um_per_px: float | None) -> tuple[Picture, ...]:
    """Pictures of a tree whose annotation lies beside them; folders called training, testing ... are splits."""
    files = set(tree.names)
    found = []
    for picture in tree.pictures():
        name = PurePosixPath(picture).with_suffix(".xml").as_posix()
        if name not in files:
            marker.note("pictures without an annotation file, left out", PurePosixPath(picture).name)
            continue
        files.remove(name)
        split = next((s for part in PurePosixPath(picture).parts[:-1] if (s := split_of(part))), None)
        found.append(_picture(tree, picture, name, split, marker, um_per_px))
    if not found:
        raise tree.wrong_layout(layout, f"an .xml file beside each picture, or {ANNOTATIONS}/ and {PICTURES}/")
    if stray := sorted(name for name in files if name.endswith(".xml")):
        raise UserError(f"{tree.where(stray[0])}: its picture is not beside it. Add it, or remove the file.")
    return tuple(found)


def parse_xml(data: bytes, where: str) -> ET.Element:
    """The root of an XML file in UTF-8; UserError for anything else.

    A file that declares a document type or entities is refused too: nothing honest needs them here, and they can
    make a small file endless.
    """
    if len(data) > _LARGEST_XML_BYTES:
        raise UserError(f"{where}: larger than {_LARGEST_XML_BYTES} bytes; no annotation of one picture is.")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise UserError(f"{where}: declares a document type or entities, which are not read. Remove the declaration.")
    try:
        # The encoding is set, so that none can be declared in which the check above would see nothing.
        return ET.fromstring(data, ET.XMLParser(encoding="utf-8"))  # noqa: S314 (see the check above)
    except ET.ParseError as error:
        raise UserError(f"{where}: not valid XML in UTF-8 ({error}). Correct the file.") from error


def _listed_splits(tree: Tree, below: str) -> Mapping[str, str]:
    """Stem of a picture to its split, from ``train.txt``, ``val.txt`` and ``test.txt``."""
    found: dict[str, str] = {}
    for split in ("train", "val", "test"):
        name = f"{below}{SETS}/{split}.txt"
        if name not in tree.names:
            continue
        for line in tree.text(name).splitlines():
            stem = line.split()[0] if line.split() else ""
            if stem and found.setdefault(stem, split) != split:
                raise UserError(f"{tree.where(name)}: {stem} is in {found[stem]}.txt as well. A picture has one split.")
    return found


def _picture(
    tree: Tree, picture: str, name: str, split: str | None, marker: Marker, um_per_px: float | None
) -> Picture:
    where, size = tree.where(name), size_of(tree.ref(picture))
    root = parse_xml(tree.read(name), where)
    if root.tag != "annotation":
        raise UserError(f"{where}: the root must be <annotation>, not <{root.tag[:40]}>; this is not Pascal VOC.")
    _check_size(root, size, where)
    cells = (_cell(item, size, where, marker) for item in root.findall("object"))
    return Picture(tree.ref(picture), *size, um_per_px, tuple(c for c in cells if c is not None), split=split)


def _check_size(root: ET.Element, size: tuple[int, int], where: str) -> None:
    stated = tuple(int(number(root.findtext(f"size/{side}") or "0", where, side)) for side in ("width", "height"))
    if any(stated) and stated != size:  # some tools write 0 x 0
        raise UserError(
            f"{where}: says {stated[0]} x {stated[1]} px, but its picture has {size[0]} x {size[1]} px. "
            "The boxes are of another picture, or of another size of it."
        )


def _cell(item: ET.Element, size: tuple[int, int], where: str, marker: Marker) -> MarkedCell | None:
    raw, box = (item.findtext("name") or "").strip(), item.find("bndbox")
    if not raw or box is None:
        raise UserError(f"{where}: an <object> without <name> or <bndbox>. Correct the file.")
    edges: Sequence[float] = [number(box.findtext(edge) or "", where, f"<{edge}>") for edge in _EDGES]
    left, top, right, bottom = edges
    difficult = (item.findtext("difficult") or "0").strip() == "1"
    return marker.boxed(raw, (left, top, right, bottom), size, where, ignored=difficult)
