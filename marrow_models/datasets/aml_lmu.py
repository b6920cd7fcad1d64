"""AML-Cytomorphology_LMU: 18,365 single cells of blood, 100 patients with AML and 100 without (TCIA).

Layout: class folders with ``<CLS>_0001.tiff`` of 400 x 400 px = 29 x 29 um, and ``annotations.dat``: path, class,
and up to two re-annotations of each picture, separated by blanks, ``NaN`` where there is none. In this data set
MYB is the myelocyte and MYO the myeloblast. No patients are published.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from marrow_models.datasets.cell_folders import joined, name_of, one_cell, open_folders
from marrow_models.datasets.duplicates import without_conflicts
from marrow_models.datasets.records import DataSet
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from pathlib import Path

    from marrow_models.datasets.options import ReadOptions
    from marrow_models.datasets.tree import Tree
    from marrow_models.taxonomy import Taxonomy

UM_PER_PX = 29 / 400
"""0.0725 um, as published."""
CLASSES = ("BAS", "EBO", "EOS", "KSC", "LYA", "LYT", "MMZ", "MOB", "MON", "MYB", "MYO", "NGB", "NGS", "PMB", "PMO")
ANNOTATIONS = "annotations.dat"
_SUFFIXES = frozenset({".tif", ".tiff"})
_NONE = frozenset({"nan", ""})


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read the data set from the folder with the class folders or one above it.

    ``annotations.dat`` may be in any of them; without it there are no votes, and a note says so. UserError where a
    class folder is missing, or the table contradicts the folders.
    """
    taxonomy = load_taxonomy("aml15")
    folders = open_folders(path, "aml_lmu")
    root = folders.class_root(CLASSES)
    above = folders.holding({ANNOTATIONS})
    votes = _Votes() if above is None else _read_votes(folders.tree, joined(above, ANNOTATIONS), taxonomy)
    pictures = [
        one_cell(
            folders.tree.ref(name),
            taxonomy.resolve(code),
            code,
            um_per_px=UM_PER_PX,
            votes=votes.of.pop(f"{code}/{name_of(name)}", ()),
        )
        for code in CLASSES
        for name in folders.pictures(joined(root, code), _SUFFIXES)
    ]
    kept, notes = without_conflicts(pictures)
    if above is None:
        notes += (f"no {ANNOTATIONS}: there are no votes of several raters.",)
    if votes.of:
        notes += (f"pictures of {ANNOTATIONS} that are not there: {len(votes.of)} (first: {min(votes.of)}).",)
    return DataSet(
        name="aml_lmu",
        path=path,
        pictures=kept,
        taxonomy=taxonomy,
        licence="CC BY 3.0",
        source="10.7937/tcia.2019.36f5o9ld",
        notes=notes + votes.notes(),
    )


@dataclass(slots=True)
class _Votes:
    """What the table says: path below the class root to the labels given, the published one first."""

    of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)

    def notes(self) -> tuple[str, ...]:
        if not self.unknown:
            return ()
        counts = ", ".join(f"{code} {n}" for code, n in sorted(self.unknown.items()))
        return (f"re-annotations with a class that is not of the data set are left out: {counts}.",)


def _read_votes(tree: Tree, table: str, taxonomy: Taxonomy) -> _Votes:
    votes = _Votes()
    for number, line in enumerate(tree.text(table).splitlines(), 1):
        if not (words := line.split()):
            continue
        where = f"{tree.where(table)}, line {number}"
        if not 2 <= len(words) <= 4 or words[1] not in CLASSES:
            raise UserError(
                f"{where}: expected path, class ({' '.join(CLASSES)}) and up to two re-annotations, "
                f"found {line[:80]!r}."
            )
        folder, _, name = words[0].replace("\\", "/").rpartition("/")
        if (folder.rpartition("/")[2] or words[1]) != words[1]:
            raise UserError(f"{where}: {words[0]} is called {words[1]}; the folder is expected to be the class.")
        again = [word for word in words[2:] if word.casefold() not in _NONE]
        votes.unknown.update(word for word in again if word not in CLASSES)
        given = [words[1], *(word for word in again if word in CLASSES)]
        votes.of[f"{words[1]}/{name}"] = tuple(label for word in given if (label := taxonomy.resolve(word)))
    return votes
