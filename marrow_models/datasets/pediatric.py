"""BoneMarrowWSI-PediatricLeukemia (Höfener et al., arXiv 2509.15895): smears of 246 children with leukaemia.

Two forms are read: the collection of the Imaging Data Commons (DICOM slides and DICOM annotations), and the
authors' tables beside MIRAX or DICOM slides. Labels are the 49 of the taxonomy ``marrow49``; an object without a
class (nobody classified it, or no consensus) is still an object. There is one slide of a patient.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from marrow_models.datasets import pediatric_csv, pediatric_dicom
from marrow_models.datasets.clinical import ClinicalRecord, is_clinical, read_clinical
from marrow_models.datasets.consensus import OTHER, Verdict, are_copies, settle
from marrow_models.datasets.pediatric_slides import pictures_of
from marrow_models.datasets.records import DataSet, ImageRef
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from marrow_models.datasets.options import ReadOptions
    from marrow_models.datasets.pediatric_slides import AnnotatedSlide
    from marrow_models.taxonomy import Taxonomy

NAME = "marrow_pediatric"
COLLECTION = "bonemarrowwsi_pediatricleukemia"
SOURCE = "10.5281/zenodo.14933087"


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read the collection from the folder ``path``; tables are preferred where both forms are there.

    A field in which every cell was marked is one picture, a cell outside of all fields is one with a part that is
    annotated; see :mod:`marrow_models.datasets.pediatric_slides`. UserError where neither form is there, or where a
    file contradicts another one.
    """
    taxonomy = load_taxonomy("marrow49")
    slides, notes = _annotated_slides(path)
    slides, flat = _without_flat_boxes(slides)
    verdicts, judged = _verdicts(slides, taxonomy)
    pictures = tuple(
        replace(picture, um_per_px=options.um_per_px) if picture.um_per_px is None else picture
        for slide, of_slide in zip(slides, verdicts, strict=True)
        for picture in pictures_of(slide, of_slide)
    )
    return DataSet(
        name=NAME,
        path=path,
        pictures=pictures,
        taxonomy=taxonomy,
        licence="CC BY 4.0",
        source=SOURCE,
        notes=(*notes, *flat, *judged, *_unmarked(slides)),
    )


def monolayer_areas(path: Path) -> tuple[ImageRef, ...]:
    """The large regions that the authors found readable, in which not every cell is marked. UserError as `read`.

    They can be too large to be read as one picture.
    """
    slides, _ = _annotated_slides(path)
    return tuple(ImageRef(slide.path, rect_px=area.rect_px) for slide in slides for area in slide.areas)


def clinical_table(path: Path) -> tuple[ClinicalRecord, ...]:
    """The patients of the table at ``path``, or in the folder ``path``; without one, as the DICOM headers have them.

    Laboratory values are in the table only. UserError where there is neither.
    """
    if path.is_file():
        return read_clinical(path)
    tables = [file for file in sorted(path.rglob("*.csv")) if is_clinical(file)]
    if len(tables) > 1:
        raise UserError(f"{path}: {tables[0].name} and {tables[1].name} are both clinical tables; give one of them.")
    if tables:
        return read_clinical(tables[0])
    slides = pediatric_dicom.find_files(path).slides
    if not slides:
        raise UserError(f"{path}: expected a clinical table (CSV, separated by ';') or DICOM slides; found neither.")
    return tuple(slide.clinical for slide in slides)


def _annotated_slides(path: Path) -> tuple[list[AnnotatedSlide], tuple[str, ...]]:
    if not path.is_dir():
        raise UserError(f"{path}: expected the folder of the data set {NAME}. Unpack it, and give the folder.")
    tables = pediatric_csv.find_tables(path)
    if tables.cells:
        return pediatric_csv.read_slides(path, tables)
    files = pediatric_dicom.find_files(path)
    if files.annotations:
        return pediatric_dicom.read_slides(files)
    counts = Counter(file.suffix.lower() or "no suffix" for file in path.rglob("*") if file.is_file())
    found = ", ".join(f"{count} files {suffix}" for suffix, count in sorted(counts.items())) or "no file"
    raise UserError(
        f"{path}: not the layout {NAME!r}. Expected the download of {COLLECTION} with DICOM annotations (series ANN_*) "
        f"beside the slides (SM_*), or a CSV table with the columns {', '.join(pediatric_csv.CELL_COLUMNS)}; found "
        f"{found}. Download slides and annotations into one folder, and give that."
    )


def _without_flat_boxes(slides: Sequence[AnnotatedSlide]) -> tuple[list[AnnotatedSlide], tuple[str, ...]]:
    kept = [
        replace(slide, cells=tuple(c for c in slide.cells if c.box_px[0] < c.box_px[2] and c.box_px[1] < c.box_px[3]))
        for slide in slides
    ]
    dropped = sum(len(slide.cells) for slide in slides) - sum(len(slide.cells) for slide in kept)
    return kept, (f"boxes of zero size, dropped: {dropped}",) if dropped else ()


def _verdicts(
    slides: Sequence[AnnotatedSlide], taxonomy: Taxonomy
) -> tuple[list[tuple[Verdict, ...]], tuple[str, ...]]:
    """Verdicts on the cells of each slide, and notes on the defects of the votes and the consensus."""
    copies = [are_copies([cell.votes for cell in slide.cells]) for slide in slides]
    if any(copies):  # a release has copies everywhere, also where they cannot be told from agreement
        copies = [_never_differ(slide) for slide in slides]
    verdicts = []
    for slide, copied in zip(slides, copies, strict=True):
        try:
            verdicts.append(tuple(settle(c.votes, c.published, taxonomy, trusted=not copied) for c in slide.cells))
        except UserError as error:
            raise UserError(f"{slide.path.parent}: in the annotations of this slide: {error}") from error
    return verdicts, _judged(slides, verdicts, sum(copies))


def _never_differ(slide: AnnotatedSlide) -> bool:
    """Whether there are votes, and no two on one object differ."""
    distinct = [len({vote for vote in cell.votes if vote}) for cell in slide.cells]
    return max(distinct, default=0) == 1


def _judged(slides: Sequence[AnnotatedSlide], verdicts: Sequence[tuple[Verdict, ...]], copied: int) -> tuple[str, ...]:
    both = [
        pair
        for slide, of_slide in zip(slides, verdicts, strict=True)
        for pair in zip(slide.cells, of_slide, strict=True)
    ]
    votes = [pair for cell, verdict in both if verdict.votes for pair in zip(cell.votes, verdict.votes, strict=True)]
    short = sum(any(verdict.recomputed for verdict in of_slide) for of_slide in verdicts)
    defects = (
        (
            sum(verdict.recomputed for _, verdict in both),
            f"objects that the published consensus lacks (on {short} slides), labelled anew from the sessions",
        ),
        (copied, "slides whose sessions are copies of the consensus (an early release): votes not used"),
        (
            sum(raw is None for raw, _ in votes),
            "votes lost from a session, counted as other (the conversion to DICOM drops the raw label monoblast)",
        ),
        (
            sum(vote == OTHER for raw, vote in votes if raw is not None),
            "votes that name no class, counted as other",
        ),
        (
            sum(verdict.label is None for _, verdict in both),
            "objects without a class (not classified, or no consensus)",
        ),
    )
    return tuple(f"{what}: {count}" for count, what in defects if count)


def _unmarked(slides: Sequence[AnnotatedSlide]) -> tuple[str, ...]:
    fields = sum(not region.is_area for slide in slides for region in slide.regions)
    empty = fields - sum(len(slide.fields) for slide in slides)
    return (f"fields without a marked cell, left out: {empty}",) if empty else ()
