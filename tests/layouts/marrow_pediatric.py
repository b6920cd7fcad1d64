"""Writes small data sets exactly like BoneMarrowWSI-PediatricLeukemia: the DICOM collection, or the authors' tables.

The slides are phantom smears. Raters are simulated with the published procedure; what the published conversion to
DICOM does to their labels, its defects included, is done here as well.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import highdicom
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from marrow_models.datasets.options import ReadOptions
from marrow_models.phantom.containers.dicom import write_dicom as write_phantom_dicom
from marrow_models.phantom.containers.identity import SlideIdentity
from marrow_models.phantom.containers.tiles import encode_pyramid
from marrow_models.phantom.patients import PROFILES, sample_composition
from marrow_models.phantom.smear import SmearSpec, render_smear
from marrow_models.taxonomy import load_taxonomy
from tests.unit.slide_files.sources import write_mirax

OPTIONS = ReadOptions()
WRONG = "bonemarrowwsi_pediatricleukemia"
COLLECTION = WRONG

CORNER_PX = (512, 256)
"""Where the scanned part begins in the MIRAX slide: what OpenSlide states as its bounds."""
UM_PER_PX = 0.25
FIELD_PX = 2048
SESSIONS = 5
_TILE_PX = 256

RENAMED = {
    "lymphoblast": "lymphoid_precursor_cell",
    "monoblast": "immature_monoblast",
    "myeloblast": "myeloid_precursor_cell",
    "other:Riesenthrombozyt": "giant_platelet",
    "other:Osteoblast": "unknown_blast",
    "annotation_error": "technically_unfit",
}
"""What the conversion to DICOM makes of raw labels; of these, ``immature_monoblast`` is not in its dictionary."""
RAW = {
    "lymphoid_precursor_cell": "lymphoblast",
    "immature_monocyte": "monoblast",
    "myeloid_precursor_cell": "myeloblast",
}
DIAGNOSES = {"ALL": ("ALL", "B-ALL", "C8644"), "AML": ("AML", "NPM1", "C82433"), "CML": ("CML", "BCR-ABL1", "C3174")}
_ANATOMY = Code("91723000", "SCT", "Anatomical structure")
_CELL_ID = Code("0010197", "EFO", "single cell identifier")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class WrittenCell:
    """A box in pixels of the scanned part, with the raw labels that raters gave it, one after the other."""

    cell_id: int
    roi_id: int
    """-1: in no region."""
    box_px: Box
    votes: tuple[str, ...] = ()
    """Empty: the cell is of the detection set."""

    @property
    def consensus(self) -> str:
        """The published raw consensus; "" where there is none."""
        ranked = Counter(self.votes).most_common(2)
        tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
        agreed = len(self.votes) >= 2 and not tied and 2 * ranked[0][1] >= len(self.votes)
        return ranked[0][0] if agreed else ""


@dataclass(frozen=True)
class WrittenSlide:
    """A slide of one patient."""

    patient: str
    image: NDArray[np.uint8]
    regions: tuple[tuple[int, Box], ...]
    cells: tuple[WrittenCell, ...]
    diagnosis: str = "ALL"
    age: str = "012Y"
    sex: str = "F"

    @property
    def slide_id(self) -> str:
        return f"{self.patient}_1_bm"

    @property
    def is_labelled(self) -> bool:
        return any(cell.votes for cell in self.cells)


@dataclass(frozen=True)
class Defects:
    """Which of the published defects a DICOM collection has."""

    first_ten: bool = False
    """Consensus objects hold the first ten cells of their slide."""
    copied_sessions: bool = False
    """Every session holds the consensus labels."""
    monoblasts_dropped: bool = True
    """Labels outside of the conversion's dictionary are left out."""


def write(
    folder: Path,
    *,
    form: str = "dicom",
    slides: str = "dicom",
    patients: int = 2,
    unlabelled: int = 1,
    seed: int = 1,
    cells: int = 90,
    fields: int = 1,
    defects: Defects | None = None,
) -> Path:
    """Phantom patients, the last ``unlabelled`` of them for detection only; ``cells`` for each field of a slide.

    ``fields`` (1 or 4) are 2048 px wide. ``form`` is ``dicom`` or ``csv``; ``slides`` (``mrxs`` or ``dicom``) are
    those that lie beside the tables.
    """
    made = phantom_slides(seed, patients, unlabelled, cells, fields)
    if form == "dicom":
        return write_dicom(folder, made, defects or Defects())
    return write_csv(folder, made, slides)


@cache
def phantom_slides(seed: int, patients: int, unlabelled: int, cells: int, fields: int) -> tuple[WrittenSlide, ...]:
    """Slides of phantom patients. Cells are numbered through, a few of them lie in no field."""
    made: list[WrittenSlide] = []
    number = 1
    for index in range(patients):
        rng = np.random.default_rng([seed, index])
        slide = _phantom_slide(rng, index, cells, fields, number, labelled=index < patients - unlabelled)
        number += len(slide.cells)
        made.append(slide)
    return tuple(made)


def _phantom_slide(
    rng: np.random.Generator, index: int, cells: int, fields: int, first_id: int, *, labelled: bool
) -> WrittenSlide:
    side = {1: 1, 4: 2}[fields]
    size = side * FIELD_PX + _TILE_PX
    diagnosis = [name for name in PROFILES if name in DIAGNOSES][index % len(DIAGNOSES)]
    composition = sample_composition(rng, diagnosis)
    share = np.array(list(composition.values()))
    labels = tuple(rng.choice(list(composition), cells * fields, p=share / share.sum()).tolist())
    spec = SmearSpec(labels, size, size, UM_PER_PX, clot=False, blurred=False, glass=False)
    smear = render_smear(rng, spec)
    margin = _TILE_PX // 2
    corners = [(margin + FIELD_PX * x, margin + FIELD_PX * y) for y in range(side) for x in range(side)]
    regions = [(10 * index + n, (x, y, x + FIELD_PX, y + FIELD_PX)) for n, (x, y) in enumerate(corners)]
    area = (2000 + index, (0, 0, size, size))
    placed: list[WrittenCell] = []
    loose = 0
    for cell in smear.cells:
        roi_id = next((n for n, box in regions if _holds(box, cell.x_px, cell.y_px)), -1)
        loose += roi_id < 0
        if roi_id < 0 and loose > 2:  # with few exceptions, cells are marked in fields
            continue
        left, top, right, bottom = cell.box_px
        box = (max(left, 0), max(top, 0), min(right, size), min(bottom, size))
        votes = rate(rng, cell.label) if labelled else ()
        placed.append(WrittenCell(first_id + len(placed), area[0] if loose == 1 and roi_id < 0 else roi_id, box, votes))
    patient = hashlib.sha256(f"{index}".encode()).hexdigest()[:32].upper()
    return WrittenSlide(patient, smear.image, (*regions, area), tuple(placed), diagnosis, f"{5 + index:03d}Y")


def marked_slide(
    cells: Sequence[WrittenCell],
    regions: Sequence[tuple[int, Box]] = ((7, (128, 128, 640, 640)),),
    *,
    patient: str = "0123456789ABCDEF0123456789ABCDEF",
    size_px: int = 768,
) -> WrittenSlide:
    """A small slide for quick tests: light ground, and a dark square where each cell is."""
    image = np.full((size_px, size_px, 3), 235, np.uint8)
    for cell in cells:
        left, top, right, bottom = (round(value) for value in cell.box_px)
        image[top:bottom, left:right] = (90, 40, 130)
    return WrittenSlide(patient, image, tuple(regions), tuple(cells))


def rate(rng: np.random.Generator, label: str) -> tuple[str, ...]:
    """Raw votes on a cell: one expert after the other until two or more agree, five at most."""
    near = [a for line in load_taxonomy("marrow49").maturation for a in line if label in line and a != label]
    votes: list[str] = []
    while len(votes) < SESSIONS:
        vote = label if rng.random() < 0.9 or not near else str(rng.choice(near))
        votes.append(RAW.get(vote, vote))
        if WrittenCell(0, 0, (0, 0, 1, 1), tuple(votes)).consensus:
            break
    return tuple(votes)


def write_dicom(folder: Path, slides: Sequence[WrittenSlide], defects: Defects) -> Path:
    """The collection as its downloader lays it out: collection, patient, study, series."""
    for slide in slides:
        study = folder / COLLECTION / slide.patient / _uid(slide, "study")
        base = write_dicom_slide(study / f"SM_{_uid(slide, 'series')}", slide)
        for kind, labels in _objects(slide, defects):
            _write_annotations(study, slide, base, kind, labels)
    return folder


def write_csv(folder: Path, slides: Sequence[WrittenSlide], slide_form: str = "mrxs") -> Path:
    """The authors' tables, with coordinates from the corner of the MIRAX slides, and the slides."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ("cell_id", "slide_id", "roi_id", "x1", "y1", "x2", "y2")
    labelled, bare = [s for s in slides if s.is_labelled], [s for s in slides if not s.is_labelled]
    _table(
        folder / "cells_classification.csv",
        (*columns, "all_original_annotations", "original_consensus_label"),
        ((*_row(s, c), ",".join(c.votes), c.consensus) for s in labelled for c in s.cells),
    )
    _table(folder / "cells_detection.csv", columns, (_row(s, c) for s in bare for c in s.cells))
    _table(
        folder / "rois.csv",
        ("roi_id", "slide_id", "x1", "y1", "x2", "y2"),
        ((roi_id, s.slide_id, *_from_corner(box)) for s in slides for roi_id, box in s.regions),
    )
    write_clinical(folder / "clinical.csv", slides)
    for slide in slides:
        if slide_form == "mrxs":
            write_mirax_slide(folder, slide)
        else:
            write_dicom_slide(folder / slide.slide_id, slide)
    return folder


def write_clinical(path: Path, slides: Sequence[WrittenSlide]) -> Path:
    """The clinical table, with decimal commas."""
    columns = ("patient_id", "age", "gender", "leukemia_type", "leukemia_subtype", "ncit_concept_code", "wbc", "fab")
    rows = ((s.patient, s.age, s.sex, *DIAGNOSES[s.diagnosis], "12,5", "") for s in slides)
    _table(path, columns, rows, delimiter=";")
    return path


def write_mirax_slide(folder: Path, slide: WrittenSlide) -> Path:
    """The slide as it was scanned: in a corner that was never scanned."""
    dx, dy = CORNER_PX
    canvas = np.full((slide.image.shape[0] + dy, slide.image.shape[1] + dx, 3), 255, np.uint8)
    canvas[dy:, dx:] = slide.image
    absent = [
        (row, column)
        for row in range(canvas.shape[0] // _TILE_PX)
        for column in range(canvas.shape[1] // _TILE_PX)
        if row < dy // _TILE_PX or column < dx // _TILE_PX
    ]
    return write_mirax(folder / f"{slide.slide_id}.mrxs", canvas, absent=absent)


def write_dicom_slide(folder: Path, slide: WrittenSlide, *, bounds: bool = True) -> pydicom.Dataset:
    """The slide as the conversion makes it: cropped, its MIRAX properties kept as text. Returns the base level."""
    identity = SlideIdentity(slide.slide_id, slide.patient, slide.patient, slide.slide_id)
    write_phantom_dicom(folder, encode_pyramid(slide.image, UM_PER_PX), identity)
    found = []
    for file in sorted(folder.glob("*.dcm")):
        level = pydicom.dcmread(file)
        level.PatientName, level.PatientAge, level.PatientSex = "", slide.age, slide.sex
        kind, subtype, code = DIAGNOSES[slide.diagnosis]
        level.AdmittingDiagnosesDescription = f"{kind},{subtype}"
        level.AdmittingDiagnosesCodeSequence = [_coded(code, "NCIt", f"{subtype} leukaemia")]
        level.AcquisitionContextSequence = [_mirax_properties()] if bounds else []
        if level.ImageType[2] == "LABEL":  # the conversion keeps the overview and drops the label
            level.ImageType = ["ORIGINAL", "PRIMARY", "OVERVIEW", "NONE"]
        file.unlink()
        level.save_as(folder / f"{level.SOPInstanceUID}.dcm", enforce_file_format=True)
        found.append(level)
    return max((level for level in found if level.ImageType[2] == "VOLUME"), key=lambda v: v.TotalPixelMatrixColumns)


def _objects(slide: WrittenSlide, defects: Defects) -> list[tuple[str, list[tuple[WrittenCell, str]]]]:
    """Description of each annotation object of cells, and the cells in it with their labels."""
    if not slide.is_labelled:
        return [("Unlabeled cell bounding boxes", [(cell, "haematological_structure") for cell in slide.cells])]
    consensus = [(cell, cell.consensus or "no_consensus_found") for cell in slide.cells]
    made = []
    for session in range(max(len(cell.votes) for cell in slide.cells)):
        labels = [
            (cell, agreed if defects.copied_sessions else cell.votes[session])
            for cell, agreed in consensus
            if len(cell.votes) > session
        ]
        made.append((f"Session {session}: Cell bounding boxes with cell type labels", labels))
    made.append(
        ("Consensus: cell bounding boxes with cell type labels", consensus[:10] if defects.first_ten else consensus)
    )
    return [(what, [(cell, _converted(label, defects)) for cell, label in labels]) for what, labels in made]


def _converted(label: str, defects: Defects) -> str:
    if label == "monoblast" and not defects.monoblasts_dropped:
        return "immature_monocyte"
    return RENAMED.get(label, label)


def _write_annotations(
    study: Path, slide: WrittenSlide, base: pydicom.Dataset, kind: str, labels: list[tuple[WrittenCell, str]]
) -> None:
    groups = []
    for label in sorted({label for _, label in labels}):
        for in_region in (True, False):
            cells = [cell for cell, given in labels if given == label and (cell.roi_id >= 0) == in_region]
            code = _code_of(label)
            if cells and code is not None:
                groups.append(_group(len(groups) + 1, slide, label, code, cells))
    save_annotations(study, slide, base, kind, groups)
    if kind.startswith(("Consensus", "Unlabeled")):
        regions = [WrittenCell(0, roi_id, box) for roi_id, box in slide.regions]
        code = Code("111099", "DCM", "Selected region")
        group = _group(1, slide, "region_of_interest", code, regions, measured=("region",))
        save_annotations(study, slide, base, "Monolayer regions of interest for cell classification", [group])


def save_annotations(
    study: Path, slide: WrittenSlide, base: pydicom.Dataset, kind: str, groups: list[highdicom.ann.AnnotationGroup]
) -> Path:
    """One annotation object as a series of its own."""
    made = highdicom.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[base],
        annotation_coordinate_type="2D",
        annotation_groups=groups,
        series_instance_uid=_uid(slide, f"series {kind}"),
        series_number=33,
        sop_instance_uid=_uid(slide, f"instance {kind}"),
        instance_number=1,
        manufacturer="University Hospital Erlangen and Fraunhofer MEVIS",
        manufacturer_model_name="BMDeep data conversion",
        software_versions="1",
        device_serial_number="1",
        series_description=kind,
    )
    folder = study / f"ANN_{made.SeriesInstanceUID}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{made.SOPInstanceUID}.dcm"
    made.save_as(path)
    return path


def _group(
    number: int,
    slide: WrittenSlide,
    label: str,
    code: Code,
    cells: Sequence[WrittenCell],
    measured: tuple[str, ...] = ("cell", "region"),
) -> highdicom.ann.AnnotationGroup:
    values = {
        "cell": (_CELL_ID, [cell.cell_id for cell in cells]),
        "region": (codes.DCM.ReferencedRegionOfInterestIdentifier, [cell.roi_id for cell in cells]),
    }
    inside = all(cell.roi_id >= 0 for cell in cells)
    return highdicom.ann.AnnotationGroup(
        number=number,
        uid=_uid(slide, f"group {number} {label} {cells[0].cell_id}"),
        label=label,
        annotated_property_category=_ANATOMY,
        annotated_property_type=code,
        graphic_type="RECTANGLE",
        graphic_data=[_corners(cell.box_px) for cell in cells],
        algorithm_type="MANUAL",
        measurements=[
            highdicom.ann.Measurements(values[name][0], np.array(values[name][1], np.float32), codes.UCUM.NoUnits)
            for name in measured
            if name == "cell" or inside
        ],
    )


def _corners(box: Box) -> NDArray[np.float32]:
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def _code_of(label: str) -> Code | None:
    """Code in the dictionary of the conversion; None for a label that it does not have."""
    if label in ("no_consensus_found", "haematological_structure"):
        return Code("414387006", "SCT", "Structure of haematological system")
    by_label = {c.label: c for c in load_taxonomy("marrow49").classes}
    found = by_label.get(label)
    return None if found is None else Code(str(found.code), str(found.code_system), found.title)


def _mirax_properties() -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = [_coded("121106", "DCM", "Comment")]
    properties = {"openslide.bounds-x": str(CORNER_PX[0]), "openslide.bounds-y": str(CORNER_PX[1])}
    item.TextValue = json.dumps({"mirax.GENERAL.OBJECTIVE_MAGNIFICATION": "40", **properties})
    return item


def _coded(value: str, scheme: str, meaning: str) -> pydicom.Dataset:
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _uid(slide: WrittenSlide, role: str) -> str:
    return SlideIdentity(slide.slide_id, "", "", "").uid(role)


def _row(slide: WrittenSlide, cell: WrittenCell) -> tuple[object, ...]:
    return cell.cell_id, slide.slide_id, cell.roi_id, *_from_corner(cell.box_px)


def _from_corner(box: Box) -> Box:
    dx, dy = CORNER_PX
    return box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy


def _holds(box: Box, x: float, y: float) -> bool:
    return box[0] <= x < box[2] and box[1] <= y < box[3]


def _table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
