"""ALL-IDB 1 and 2 (Labati, Piuri, Scotti; University of Milan): blood with and without lymphoblasts.

Layout: ``ALL_IDB1/im/Im001_1.jpg`` with ``ALL_IDB1/xyc/Im001_1.xyc``, one "x y" centroid of a blast a line, and
``ALL_IDB2/img/Im001_1.tif``, one cell a picture. The number after ``_`` is the class: 1 blast, 0 none; of the
picture in IDB1, of the cell in IDB2. There are no subtypes, no patients, and no pixel size (the magnification
differs between pictures of IDB1).
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marrow_models.datasets.cell_folders import joined, name_of, one_cell, open_folders
from marrow_models.datasets.duplicates import without_conflicts
from marrow_models.datasets.images import size_of
from marrow_models.datasets.records import DataSet, MarkedCell, Picture
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from marrow_models.datasets.options import ReadOptions
    from marrow_models.datasets.tree import Tree

FIELDS, CELLS = "ALL_IDB1", "ALL_IDB2"
"""The domains."""
_NAME = re.compile(r"Im\d+_([01])\.(?:jpe?g|tiff?)", re.ASCII | re.IGNORECASE)
_BY_NUMBER = {"1": "blast", "0": "no_blast"}
_FIELD_SUFFIXES = frozenset({".jpg", ".jpeg"})
_CELL_SUFFIXES = frozenset({".tif", ".tiff"})
_ARROWS = (
    f"{FIELDS}: only blasts are marked, other cells are not. Arrows are reported in some pictures with blasts, and the "
    "size of the pictures goes with the class: a classifier of whole pictures may learn either."
)


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read the part at ``path``, or both parts below it; blasts of IDB1 are points.

    UserError where neither part is there, a name has no class, or a centroid file is missing or wrong.
    """
    folders = open_folders(path, "all_idb")
    fields, cells = folders.holding({"im", "xyc"}), folders.holding({"img"})
    half = fields is None and (folders.holding({"im"}) is not None or folders.holding({"xyc"}) is not None)
    if half or (fields is None and cells is None):
        raise folders.wrong(f"{FIELDS}/im and {FIELDS}/xyc, or {CELLS}/img")
    scale = dict(options.um_per_px_by_domain)
    pictures = []
    if fields is not None:
        um_per_px = scale.get(FIELDS, options.um_per_px)
        names = folders.pictures(joined(fields, "im"), _FIELD_SUFFIXES)
        pictures += [_field(folders.tree, name, joined(fields, "xyc"), um_per_px) for name in names]
    if cells is not None:
        um_per_px = scale.get(CELLS, options.um_per_px)
        for name in folders.pictures(joined(cells, "img"), _CELL_SUFFIXES):
            ref, number = folders.tree.ref(name), _number(folders.tree, name)
            pictures.append(one_cell(ref, _BY_NUMBER[number], number, um_per_px=um_per_px, domain=CELLS))
    kept, notes = without_conflicts(pictures)
    return DataSet(
        name="all_idb",
        path=path,
        pictures=kept,
        taxonomy=load_taxonomy("all_idb2"),
        licence="on application, academic use",
        source="homes.di.unimi.it/scotti/all",
        notes=(() if fields is None else (_ARROWS,)) + _odd_fields(pictures) + notes,
    )


def _number(tree: Tree, name: str) -> str:
    if not (match := _NAME.fullmatch(name_of(name))):
        raise UserError(f"{tree.where(name)}: the name has no class; expected Im001_1 with blasts or Im001_0 without.")
    return match[1]


def _field(tree: Tree, name: str, tables: str, um_per_px: float | None) -> Picture:
    ref, number = tree.ref(name), _number(tree, name)
    width_px, height_px = size_of(ref)
    table = f"{tables}/{PurePosixPath(name).stem}.xyc"
    if table not in tree.names:
        raise UserError(
            f"{tree.where(table)}: the centroids of this picture are missing; a picture without blasts has an empty "
            "file. Unpack the release again."
        )
    lines = [(n, line) for n, line in enumerate(tree.text(table).splitlines(), 1) if line.strip()]
    points = [_point(line, f"{tree.where(table)}, line {n}", width_px, height_px) for n, line in lines]
    cells = tuple(MarkedCell("blast", "1", point_px=point) for point in points)
    return Picture(ref, width_px, height_px, um_per_px, cells, label=_BY_NUMBER[number], domain=FIELDS)


def _point(line: str, where: str, width_px: int, height_px: int) -> tuple[float, float]:
    try:
        x, y = (float(word) for word in line.split())
    except ValueError as error:
        raise UserError(f"{where}: expected the centroid of a blast as two numbers, found {line[:80]!r}.") from error
    if not (0 <= x <= width_px and 0 <= y <= height_px):  # also NaN
        raise UserError(f"{where}: {x:g}, {y:g} lies outside of the picture of {width_px} x {height_px} px.")
    return x, y


def _odd_fields(pictures: list[Picture]) -> tuple[str, ...]:
    odd = [p.image.name for p in pictures if p.domain == FIELDS and bool(p.cells) != (p.label == "blast")]
    if not odd:
        return ()
    return (f"{FIELDS}: the class in the name and the centroids disagree for {len(odd)} pictures, such as {odd[0]}.",)
