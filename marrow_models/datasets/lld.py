"""LeukemiaAttri and its successor LLD: fields of blood of 48 patients with leukaemia, boxes and 7 attributes.

Fields of up to 12 domains, in folders called microscope (H, L), objective and camera (``H_100X_C1``), each with
pictures in ``Images/{train,test}`` and labels as COCO json or as text lines (:mod:`.lld_labels`); the READMEs show
the same without domain folders (``COCO Dataset/Annotations``, ``images`` and ``labels``). The domains show the same
cells again. Patient, field, magnification and diagnosis are in the name: ``4_15_1000_ALL.png``. The pixel size of no
domain is stated.

Sources: arXiv 2405.10803 and 2504.02602; repositories of intelligentMachines-ITU.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from marrow_models.datasets.attributes import load_schema
from marrow_models.datasets.cell_folders import Folders, joined, name_of, open_folders
from marrow_models.datasets.images import size_of
from marrow_models.datasets.lld_labels import Field, read_coco, read_lines
from marrow_models.datasets.records import DataSet, Picture
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from marrow_models.datasets.options import ReadOptions
    from marrow_models.datasets.records import ImageRef
    from marrow_models.taxonomy import Taxonomy

PATIENTS = frozenset(str(n) for n in range(1, 49))
TEST_PATIENTS = frozenset("2 4 6 8 10 15 16 20 21 24 25 26 28 30 34 37 42 44".split())  # noqa: SIM905
"""The authors' 18 test patients; the other 30 are for training."""
_DOMAIN = re.compile(r"([HL])_(10|40|100)X_(C[12])", re.ASCII | re.IGNORECASE)
_NAME = re.compile(r"(\d+)_.+_(\d+)_(ALL|AML|APML|CLL|CML)", re.ASCII)
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_IMAGES = ("images", "Images")
_COCO = ("Annotations", "json_labels", "WBC_Detection", "WBC_detection")
_LINES = ("labels", "txt_labels/AttriDet", "txt_labels/WBC_Detection")
_SPLITS = ("train", "val", "test")
_WANTED = (
    "Annotations/train.json or json_labels/train.json with Images/train, or labels/train or "
    "txt_labels/AttriDet/train with images/train"
)


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read every domain at or below ``path``. The label of a picture is the patient's diagnosis.

    The split is the authors' by patient, whatever folder a picture lies in: within a domain the folders keep
    patients apart, between domains they do not. UserError where there are no pictures with labels beside them.
    """
    folders = open_folders(path, "lld")
    parts = _parts(folders)
    labelled = [part for part in parts if part.labels]
    if not labelled:
        beside = f" beside {parts[0].images}" if parts else ""
        raise folders.wrong(_WANTED + beside)
    taxonomy = load_taxonomy("lld14")
    scales = {_domain(name): value for name, value in options.um_per_px_by_domain}
    read_all = _Reading(folders, taxonomy, scales, options.um_per_px)
    pictures = tuple(picture for part in labelled for picture in read_all.part(part))
    if not pictures:
        raise UserError(f"{path}: none of the pictures that the labels name is there. Unpack every archive of the set.")
    if unknown := scales.keys() - {picture.domain for picture in pictures}:
        found = ", ".join(sorted({picture.domain for picture in pictures}))
        raise UserError(f"{path}: um_per_px_by_domain names {', '.join(sorted(unknown))}; the domains are {found}.")
    unlabelled = sorted({part.domain or part.images for part in parts if not part.labels})
    notes = [f"{name}: no labels beside its pictures (unpack labels.zip there): left out." for name in unlabelled]
    return DataSet(
        name="lld",
        path=path,
        pictures=_with_split(pictures, notes),
        taxonomy=taxonomy,
        licence="not stated",
        source="arXiv 2405.10803, 2504.02602",
        attributes=load_schema("lld7"),
        notes=(*read_all.notes, *notes),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """One folder of pictures with its labels: a json file, or a folder of text files."""

    domain: str
    split: str
    images: str
    labels: str
    """Empty where there are none."""


def _parts(folders: Folders) -> list[_Part]:
    """Every part of the data set, in the order of names."""
    found = []
    for images in sorted(folders.contents):
        if name_of(images) not in _IMAGES:
            continue
        folder = images.rpartition("/")[0]
        above = (*folders.tree.root.parts, *folder.split("/"))
        domain = next((_domain(name) for name in reversed(above) if _DOMAIN.fullmatch(name)), "")
        splits = [split for split in _SPLITS if split in folders.contents[images]]
        found += [_Part(domain, s, f"{images}/{s}", _labels(folders, folder, s)) for s in splits]
    return found


def _labels(folders: Folders, folder: str, split: str) -> str:
    """The labels of a split. The json file comes first: it has the cell size, and classes by name."""
    for name in _COCO:
        if f"{split}.json" in folders.contents.get(joined(folder, name), ()):
            return f"{joined(folder, name)}/{split}.json"
    lines = (f"{joined(folder, name)}/{split}" for name in _LINES)
    return next((name for name in lines if name in folders.contents), "")


def _domain(name: str) -> str:
    """One spelling: the authors write H_100x_C1 and H_100X_C1."""
    return name.upper()


@dataclass(slots=True)
class _Reading:
    folders: Folders
    taxonomy: Taxonomy
    scales: dict[str, float]
    um_per_px: float | None
    notes: tuple[str, ...] = ()

    def part(self, part: _Part) -> Iterator[Picture]:
        """The pictures of a part whose labels and pixels are both there."""
        refs = {name_of(n): self.folders.tree.ref(n) for n in self.folders.some(part.images, _SUFFIXES)}
        sizes = {name: size_of(ref) for name, ref in refs.items()}
        tree, taxonomy = self.folders.tree, self.taxonomy
        if part.labels.endswith(".json"):
            labels = read_coco(tree, part.labels, sizes, taxonomy)
        else:
            labels = read_lines(tree, self.folders.some(part.labels, {".txt"}), sizes, taxonomy)
        called = f"{part.domain}/{part.split}" if part.domain else part.split
        self.notes += tuple(f"{called}: {note}" for note in labels.notes)
        missing = sorted(field.name for field in labels.fields if field.name not in refs)
        if missing:
            self.notes += (f"{called}: pictures that are not there: {len(missing)} (first: {missing[0]}); left out.",)
        if alone := sorted(refs.keys() - {field.name for field in labels.fields}):
            self.notes += (f"{called}: pictures without labels: {len(alone)} (first: {alone[0]}); left out.",)
        for field in sorted(labels.fields, key=lambda f: f.name):
            if field.name in refs:
                yield self._picture(part, field, refs[field.name], sizes[field.name])

    def _picture(self, part: _Part, field: Field, ref: ImageRef, size_px: tuple[int, int]) -> Picture:
        if not (match := _NAME.fullmatch(ref.name.rpartition(".")[0])):
            raise UserError(
                f"{ref.path}: the name {ref.name} gives no patient; expected patient_field_magnification_diagnosis, "
                "such as 4_15_1000_ALL.png. Keep the names of the release: without patients a split would leak."
            )
        patient, magnification, diagnosis = match.groups()
        domain = part.domain or f"{int(magnification) // 10}X"
        return Picture(
            ref,
            *size_px,
            self.scales.get(domain, self.um_per_px),
            field.cells,
            label=diagnosis,
            patient=patient,
            split=part.split,
            domain=domain,
            annotated_px=field.annotated_px,
        )


def _with_split(pictures: Sequence[Picture], notes: list[str]) -> tuple[Picture, ...]:
    """The authors' split by patient; patients unknown to it keep their folder's, or are in the test if in both."""
    tested = {p.patient for p in pictures if p.split == "test"}
    moved = set()
    result = []
    for picture in pictures:
        split = picture.split
        if picture.patient in PATIENTS:
            split = "test" if picture.patient in TEST_PATIENTS else "train" if split == "test" else split
        elif picture.patient in tested:
            split = "test"
        if split != picture.split:
            moved.add(picture.patient)
        result.append(replace(picture, split=split))
    if moved:
        listed = ", ".join(sorted((str(p) for p in moved), key=int))
        notes.append(f"pictures of patient {listed} lie in the folder of the other split: the patient's split counts.")
    return tuple(result)
