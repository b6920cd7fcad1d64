"""C-NMC 2019 (ISBI challenge, TCIA): single cells cut out on black, leukaemic or normal, 118 subjects.

Layout: ``C-NMC_training_data/fold_{0,1,2}/{all,hem}/UID_{P}_{N}_{C}_all.bmp`` and ``UID_H{S}_{N}_{C}_hem.bmp``, the
subject being the second word of the name; ``C-NMC_test_prelim_phase_data`` with ``1.bmp`` and so on, whose classes
and original names are in ``C-NMC_test_prelim_phase_data_labels.csv``; ``C-NMC_test_final_phase_data`` without classes.
Copies on Kaggle put each of them one folder deeper. There are two classes and no subtypes. The pixel size is not
stated.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import combinations
from typing import TYPE_CHECKING

from marrow_models.datasets.cell_folders import Folders, joined, name_of, one_cell, open_folders
from marrow_models.datasets.duplicates import without_conflicts
from marrow_models.datasets.records import DataSet
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from marrow_models.datasets.options import ReadOptions
    from marrow_models.datasets.records import Picture

FOLDS = ("fold_0", "fold_1", "fold_2")
PRELIM_TABLE = "C-NMC_test_prelim_phase_data_labels.csv"
_PRELIM = "C-NMC_test_prelim_phase_data"
_FINAL = "C-NMC_test_final_phase_data"
_COLUMNS = ("Patient_ID", "new_names", "labels")
_BY_NUMBER = {"1": "all", "0": "hem"}
_NAME = re.compile(r"UID_(H?\d+)_\d+_\d+_(all|hem)\.bmp", re.ASCII)
_SUFFIXES = frozenset({".bmp"})


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read the folds (``train``), the preliminary and the final test set (``test``, the latter without classes).

    UserError where a fold is missing, a name gives no subject, or the table and the pictures do not agree.
    """
    folders = open_folders(path, "cnmc")
    root = folders.holding(FOLDS)
    if root is None:
        raise folders.wrong(f"C-NMC_training_data with {', '.join(FOLDS)}")
    training = list(_training(folders, root, options.um_per_px))
    notes = _shared_subjects(training)
    above = folders.holding({PRELIM_TABLE})
    prelim = [] if above is None else list(_prelim(folders, above, options.um_per_px))
    if above is None:
        notes += (f"no {PRELIM_TABLE}: the preliminary test set is left out.",)
    kept, doubled = without_conflicts([*training, *prelim])
    return DataSet(
        name="cnmc",
        path=path,
        pictures=kept + tuple(_final(folders, options.um_per_px)),
        taxonomy=load_taxonomy("cnmc2"),
        licence="CC BY 3.0",
        source="10.7937/tcia.2019.dc64i46r",
        notes=notes + doubled,
    )


def _training(folders: Folders, root: str, um_per_px: float | None) -> Iterator[Picture]:
    for number, fold in enumerate(FOLDS):
        for label in ("all", "hem"):
            for name in folders.pictures(f"{joined(root, fold)}/{label}", _SUFFIXES):
                subject, named = _subject(name_of(name), where := folders.tree.where(name))
                if named != label:
                    raise UserError(f"{where}: the name says {named}, the folder {label}. Unpack the release again.")
                ref = folders.tree.ref(name)
                yield one_cell(ref, label, label, um_per_px=um_per_px, patient=subject, split="train", fold=number)


def _prelim(folders: Folders, above: str, um_per_px: float | None) -> Iterator[Picture]:
    table = joined(above, PRELIM_TABLE)
    called = folders.tree.where(table)
    pictures = {name_of(name): name for name in _pictures_of(folders, above, _PRELIM)}
    rows = csv.DictReader(io.StringIO(folders.tree.text(table), newline=""))
    if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
        raise UserError(
            f"{called}: column {', '.join(missing)} missing; expected {', '.join(_COLUMNS)}. Copy the file again."
        )
    for number, row in enumerate(rows, 2):
        where = f"{called}, line {number}"
        subject, named = _subject(row["Patient_ID"] or "", where)
        if _BY_NUMBER.get((row["labels"] or "").strip()) != named:
            raise UserError(f"{where}: labels is {row['labels']!r}, but {row['Patient_ID']} says {named}.")
        if row["new_names"] not in pictures:
            raise UserError(f"{where}: {row['new_names']} is not in {_PRELIM}. Unpack the pictures beside the table.")
        ref = folders.tree.ref(pictures[row["new_names"]])
        yield one_cell(ref, named, named, um_per_px=um_per_px, patient=subject, split="test")


def _final(folders: Folders, um_per_px: float | None) -> Iterator[Picture]:
    above = folders.holding({_FINAL})
    for name in () if above is None else _pictures_of(folders, above, _FINAL):
        yield one_cell(folders.tree.ref(name), None, "", um_per_px=um_per_px, split="test")


def _pictures_of(folders: Folders, above: str, part: str) -> tuple[str, ...]:
    """The pictures of a part in its folder: the archives of the release put it into itself, some beside the table."""
    inner = joined(above, part)
    return (
        folders.some(inner, _SUFFIXES) or folders.some(joined(inner, part), _SUFFIXES) or folders.some(above, _SUFFIXES)
    )


def _subject(name: str, where: str) -> tuple[str, str]:
    """Subject and class in an original name. A normal subject's number begins with H."""
    if not (match := _NAME.fullmatch(name.strip())):
        raise UserError(
            f"{where}: {name!r} gives no subject; expected UID_(subject)_(picture)_(cell)_(all or hem).bmp. "
            "Keep the names of the release: without subjects a split would leak."
        )
    return match[1], match[2]


def _shared_subjects(pictures: Sequence[Picture]) -> tuple[str, ...]:
    subjects = [{p.patient for p in pictures if p.fold == fold} for fold in range(len(FOLDS))]
    shared = {s for a, b in combinations(subjects, 2) for s in a & b if s}
    return (f"subjects in more than one fold: {', '.join(sorted(shared))}.",) if shared else ()
