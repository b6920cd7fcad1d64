"""The folders that ``marrow phantom`` writes: synthetic slides of which every nucleated cell is known.

Layout: slides, ``manifest.csv`` (whose each is) and ``truth/cells.csv`` (what lies where), as
:mod:`marrow_models.phantom.truth` writes them. A slide becomes pictures of about 128 um that share no pixel. There is
nothing to download: with these, trainings and figures can be tried on any machine.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from marrow_models.datasets.pediatric_dicom import find_files
from marrow_models.datasets.records import DataSet, ImageRef, MarkedCell, Picture
from marrow_models.datasets.table import rows_of
from marrow_models.datasets.tree import Tree, open_tree
from marrow_models.errors import MarrowError, UserError
from marrow_models.phantom.truth import CELL_COLUMNS, MANIFEST, TAXONOMY, TRUTH
from marrow_models.records import Rect
from marrow_models.slides.open import open_slide
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from marrow_models.datasets.options import ReadOptions
    from marrow_models.datasets.records import Box
    from marrow_models.datasets.table import Row
    from marrow_models.records import SlideInfo
    from marrow_models.taxonomy import Taxonomy

PICTURE_UM = 128.0
"""About the side of a picture: the field of a survey."""
CELLS = f"{TRUTH}/cells.csv"
_READABLE = {"true": True, "false": False}


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read a folder of ``marrow phantom``; the domain of a picture is the format of its slide.

    A cell that cannot be read, or that the edge of a picture cuts, is in the picture as one to be ignored. UserError
    where a table or a slide is missing, or says something that cannot be.
    """
    tree = open_tree(path)
    for name in (MANIFEST, CELLS):
        if name not in tree.names or tree.is_archive:
            raise tree.wrong_layout("phantom", f"a folder with {MANIFEST}, {CELLS} and slides, {name} among them")
    patients = {row["file"]: row["patient_id"] for row in rows_of(tree, MANIFEST, ("file", "patient_id"))}
    cells = _cells_by_slide(tree, patients)
    pictures = tuple(
        picture for file in sorted(patients) for picture in _pictures(path / file, patients[file], cells[file])
    )
    return DataSet(
        name="phantom",
        path=path,
        pictures=pictures,
        taxonomy=load_taxonomy(TAXONOMY),
        licence="Apache-2.0",
        source="drawn by marrow phantom",
        notes=("the cells are synthetic: figures say that a training works, not what it is worth on real ones.",),
    )


def _cells_by_slide(tree: Tree, slides: dict[str, str]) -> defaultdict[str, list[MarkedCell]]:
    """The cells of each slide, boxes in its pixels."""
    taxonomy = load_taxonomy(TAXONOMY)
    found: defaultdict[str, list[MarkedCell]] = defaultdict(list)
    for line, row in enumerate(rows_of(tree, CELLS, CELL_COLUMNS), 2):
        where = f"{tree.where(CELLS)}, line {line}"
        if row["file"] not in slides:
            raise UserError(f"{where}: {row['file']} is not in {MANIFEST}. Let marrow phantom write the folder again.")
        found[row["file"]].append(_cell(row, taxonomy, where))
    return found


def _cell(row: Row, taxonomy: Taxonomy, where: str) -> MarkedCell:
    try:
        x, y, width, height = (float(row[name]) for name in ("x_px", "y_px", "width_px", "height_px"))
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        ignored = not _READABLE[row["readable"]]
    except (KeyError, ValueError) as error:
        raise UserError(f"{where}: expected a box and readable as true or false ({error}).") from error
    if not (width > 0 and height > 0 and all(abs(value) < float("inf") for value in box)):
        raise UserError(f"{where}: the box of {width:g} x {height:g} px at ({x:g}, {y:g}) has no area.")
    return MarkedCell(taxonomy.get(row["cell_class"]).label, row["cell_class"], box_px=box, ignored=ignored)


def _pictures(slide: Path, patient: str, cells: Sequence[MarkedCell]) -> Iterator[Picture]:
    main, info = _opened(slide)
    boxed = [(cell, cell.box_px) for cell in cells if cell.box_px is not None]
    if info.um_per_px is None:
        raise UserError(f"{slide}: states no pixel size. Let marrow phantom write the folder again.")
    for rect in _parts(info.width_px, info.height_px, round(PICTURE_UM / info.um_per_px)):
        yield Picture(
            ImageRef(main, rect_px=rect),
            rect.width,
            rect.height,
            info.um_per_px,
            tuple(_in_picture(cell, box, rect) for cell, box in boxed if _overlap(box, rect)),
            patient=patient,
            domain=info.format,
        )


def _opened(slide: Path) -> tuple[Path, SlideInfo]:
    """The file that stands for a slide (of a DICOM series its largest level), and what its header says."""
    try:
        main = find_files(slide).slides[0].path if slide.is_dir() else slide
        reader = open_slide(main.resolve())
    except (MarrowError, IndexError, OSError) as error:
        raise UserError(
            f"{slide}: the slide cannot be read ({error}). Let marrow phantom write the folder again."
        ) from error
    info = reader.info
    reader.close()
    return main, info


def _parts(width_px: int, height_px: int, side_px: int) -> Iterator[Rect]:
    """Rectangles of about ``side_px`` that cover a slide once, row by row."""
    across, down = (max(1, round(size / side_px)) for size in (width_px, height_px))
    for row in range(down):
        for column in range(across):
            left, right = (width_px * n // across for n in (column, column + 1))
            top, bottom = (height_px * n // down for n in (row, row + 1))
            yield Rect(left, top, right - left, bottom - top)


def _in_picture(cell: MarkedCell, box: Box, rect: Rect) -> MarkedCell:
    """The cell as a part of its slide shows it: what is cut off is no example of its class."""
    left, top, right, bottom = box
    whole = left >= rect.x and top >= rect.y and right <= rect.right and bottom <= rect.bottom
    clipped = (
        max(left - rect.x, 0.0),
        max(top - rect.y, 0.0),
        min(right - rect.x, float(rect.width)),
        min(bottom - rect.y, float(rect.height)),
    )
    return MarkedCell(cell.label, cell.raw_label, box_px=clipped, ignored=cell.ignored or not whole)


def _overlap(box: Box, rect: Rect) -> bool:
    return box[0] < rect.right and box[2] > rect.x and box[1] < rect.bottom and box[3] > rect.y
