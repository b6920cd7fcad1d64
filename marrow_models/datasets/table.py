"""A CSV table of cells, one row a cell, with its pictures beside it.

Columns (the header names them, in any order; all but ``image`` may be left out)::

    image                     path of the picture, from the folder of the table
    left, top, right, bottom  box in pixels, or
    x, y                      centre in pixels; neither: the picture shows one cell
    label                     class as the taxonomy or its aliases spell it; empty: not said
    votes                     the raters' labels in order, with ; between them
    ignored                   1 for a cell that is neither to be found nor held against a detector
    attribute.NAME            value of a morphology attribute; empty: not said
    picture_label             class of the picture as a whole
    patient, split, fold      whose picture it is; train, val or test; a whole number
    um_per_px, domain         pixel size; microscope, camera or laboratory

The last three lines belong to the picture: all of its rows say the same. A row with the image alone is a picture in
which nothing is marked.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from marrow_models.datasets.images import size_of
from marrow_models.datasets.marker import Marker, chosen_taxonomy, number
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import SPLITS, AttributeSchema, DataSet, MarkedCell, Picture
from marrow_models.datasets.tree import Tree, open_tree
from marrow_models.errors import UserError

BOX, POINT = ("left", "top", "right", "bottom"), ("x", "y")
OF_PICTURE = ("picture_label", "patient", "split", "fold", "um_per_px", "domain")
COLUMNS = ("image", *BOX, *POINT, "label", "votes", "ignored", *OF_PICTURE)
ATTRIBUTE = "attribute."

Row = Mapping[str, str]


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read the table ``path``, or the one ``.csv`` file in the folder ``path``.

    UserError for a column that is not known (a misspelt ``patient`` would let a split leak), and for a row that
    cannot be.
    """
    tree = open_tree(path.parent if path.suffix.lower() == ".csv" else path)
    name = path.name if path.suffix.lower() == ".csv" else _only_table(tree)
    rows = rows_of(tree, name, ("image",))
    _check_header(rows, tree.where(name))
    marker = Marker(chosen_taxonomy(options, "csv"), tree.root)
    by_picture: dict[str, list[tuple[str, Row]]] = defaultdict(list)
    for line, row in enumerate(rows, 2):
        by_picture[PurePosixPath(row["image"].strip()).as_posix()].append((f"{tree.where(name)}, line {line}", row))
    pictures = tuple(_picture(tree, image, by_picture[image], marker, options) for image in sorted(by_picture))
    return DataSet(
        "csv",
        path,
        pictures,
        marker.taxonomy,
        "not stated",
        "a data set of the user",
        attributes=_schema(rows, name),
        notes=marker.notes(),
    )


def rows_of(tree: Tree, name: str, required: Collection[str]) -> Sequence[Row]:
    """The rows of a CSV file by the names in its header, as text.

    UserError where it has no row, lacks a ``required`` column, names one twice, or a row has another length.
    """
    where = tree.where(name)
    reader = csv.DictReader(io.StringIO(tree.text(name), newline=""), strict=True)
    try:
        header = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = header
        rows = list(reader)
    except csv.Error as error:
        raise UserError(f"{where}, line {reader.line_num}: not valid CSV ({error}). Correct the file.") from error
    if missing := sorted(set(required) - set(header)):
        raise UserError(f"{where}: column {', '.join(missing)} missing; found {', '.join(header) or 'no header'}.")
    if len(set(header)) < len(header):
        raise UserError(f"{where}: a column is named twice in the header.")
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise UserError(f"{where}, row {line}: has not the {len(header)} columns of the header.")
    if not rows:
        raise UserError(f"{where}: has no rows below its header.")
    return rows


def _only_table(tree: Tree) -> str:
    tables = [name for name in tree.names if "/" not in name and name.lower().endswith(".csv")]
    if len(tables) != 1:
        raise tree.wrong_layout("csv", f"one .csv file, such as cells.csv (there are {len(tables)})")
    return tables[0]


def _check_header(rows: Sequence[Row], where: str) -> None:
    header = list(rows[0])
    if unknown := [c for c in header if c not in COLUMNS and not c.startswith(ATTRIBUTE)]:
        raise UserError(
            f"{where}: unknown column {', '.join(unknown)}; known are {', '.join(COLUMNS)} and {ATTRIBUTE}NAME. "
            "Rename or remove it."
        )
    for group in (BOX, POINT):
        if 0 < len(present := [c for c in group if c in header]) < len(group):
            raise UserError(f"{where}: {', '.join(present)} without the rest of {', '.join(group)}.")


def _picture(tree: Tree, image: str, rows: Sequence[tuple[str, Row]], marker: Marker, options: ReadOptions) -> Picture:
    where, first = rows[0]
    if not image or image == "." or image.startswith("/") or ".." in PurePosixPath(image).parts:
        raise UserError(f"{where}: image {image!r} must be a path from the folder of the table, without '..'.")
    for other, row in rows[1:]:
        for column in OF_PICTURE:
            if row.get(column, "").strip() != first.get(column, "").strip():
                raise UserError(f"{other}: {column} differs from that of {image} in an earlier row. A picture has one.")
    ref = tree.ref(image)
    size = size_of(ref)
    cells = [_cell(row, size, place, marker) for place, row in rows]
    picture = Picture(ref, *size, None, tuple(cell for cell in cells if cell is not None))
    return _described(picture, {c: first.get(c, "").strip() for c in OF_PICTURE}, where, marker, options)


def _described(picture: Picture, row: Row, where: str, marker: Marker, options: ReadOptions) -> Picture:
    if row["split"] and row["split"] not in SPLITS:
        raise UserError(f"{where}: split must be one of {', '.join(SPLITS)} or empty, not {row['split']!r}.")
    if row["fold"] and not row["fold"].isdecimal():
        raise UserError(f"{where}: fold must be a whole number from 0, not {row['fold']!r}.")
    um_per_px = number(row["um_per_px"], where, "um_per_px") if row["um_per_px"] else None
    if um_per_px is not None and um_per_px <= 0:
        raise UserError(f"{where}: um_per_px must be above zero.")
    return replace(
        picture,
        um_per_px=um_per_px or dict(options.um_per_px_by_domain).get(row["domain"], options.um_per_px),
        label=marker.label(row["picture_label"], where) if row["picture_label"] else None,
        patient=row["patient"] or None,
        split=row["split"] or None,
        fold=int(row["fold"]) if row["fold"] else None,
        domain=row["domain"],
    )


def _cell(row: Row, size: tuple[int, int], where: str, marker: Marker) -> MarkedCell | None:
    given = {column: text.strip() for column, text in row.items() if text.strip()}
    raw, ignored = given.get("label", ""), given.get("ignored", "0")
    if ignored not in ("0", "1"):
        raise UserError(f"{where}: ignored must be 0 or 1, not {ignored!r}.")
    box = [number(given[c], where, c) for c in BOX if c in given]
    point = [number(given[c], where, c) for c in POINT if c in given]
    if len(box) not in (0, 4) or len(point) not in (0, 2) or (box and point):
        raise UserError(f"{where}: wanted are all of {', '.join(BOX)}, or x and y, or none of these.")
    if box:
        cell = marker.boxed(raw, (box[0], box[1], box[2], box[3]), size, where)
    elif point:
        cell = marker.pointed(raw, (point[0], point[1]), size, where)
    else:
        cell = marker.whole(raw, where) if raw else None
    if cell is None:
        return None
    votes = [marker.label(vote.strip(), where) for vote in given.get("votes", "").split(";") if vote.strip()]
    attributes = {c.removeprefix(ATTRIBUTE): text for c, text in given.items() if c.startswith(ATTRIBUTE)}
    return replace(
        cell,
        attributes=MappingProxyType(attributes),
        votes=tuple(vote for vote in votes if vote is not None),
        ignored=cell.ignored or ignored == "1",
    )


def _schema(rows: Sequence[Row], name: str) -> AttributeSchema | None:
    """The attributes of a table and the values it uses, in the order of the alphabet: it says no other."""
    columns = [column for column in rows[0] if column.startswith(ATTRIBUTE)]
    values = {c.removeprefix(ATTRIBUTE): tuple(sorted({r[c].strip() for r in rows} - {""})) for c in columns}
    return AttributeSchema(name, MappingProxyType(values), "columns of the table") if values else None
