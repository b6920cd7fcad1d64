"""Blood cell Cancer [ALL] (Taleqani hospital, Kaggle): fields of blood smears in four classes.

Two releases: ``Blood cell Cancer [ALL]/{Benign, [Malignant] early Pre-B, [Malignant] Pre-B, [Malignant] Pro-B}`` and
``Original/{Benign, Early, Pre, Pro}`` beside ``Segmented/`` (the same pictures with all but the blasts painted over,
not read here). The class is the picture's: no cell is marked. Neither patients nor the pixel size are published.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from marrow_models.datasets.cell_folders import Folders, joined, name_of, open_folders
from marrow_models.datasets.duplicates import without_conflicts
from marrow_models.datasets.images import size_of
from marrow_models.datasets.records import DataSet, Picture
from marrow_models.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from marrow_models.datasets.options import ReadOptions

BY_DIAGNOSIS = ("Benign", "[Malignant] early Pre-B", "[Malignant] Pre-B", "[Malignant] Pro-B")
BY_STAGE = ("Benign", "Early", "Pre", "Pro")
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_NAMED = {"benign": "Benign", "early_pre_b": "Early", "pre_b": "Pre", "pro_b": "Pro"}
_NAME = re.compile(r"WBC-(?:Malignant-)?(Benign|Early|Pre|Pro)-\d+", re.ASCII)


def read(path: Path, options: ReadOptions) -> DataSet:
    """Read either release from its folder or the one above; the four classes are labels of the pictures.

    UserError where a class folder is missing or empty.
    """
    taxonomy = load_taxonomy("taleqani4")
    folders = open_folders(path, "taleqani")
    root, classes = _release(folders)
    pictures = [
        Picture(ref, *size_of(ref), options.um_per_px, label=taxonomy.resolve(raw))
        for raw in classes
        for ref in map(folders.tree.ref, folders.pictures(joined(root, raw), _SUFFIXES))
    ]
    kept, notes = without_conflicts(pictures)
    return DataSet(
        name="taleqani",
        path=path,
        pictures=kept,
        taxonomy=taxonomy,
        licence="not stated",
        source="Kaggle, blood-cell-cancer-all-4class",
        notes=(
            "no patients are published: pictures of one patient may be on both sides of a split.",
            *_names_that_disagree(pictures),
            *notes,
        ),
    )


def _release(folders: Folders) -> tuple[str, Sequence[str]]:
    """The folder with the class folders, and what they are called."""
    if (root := folders.holding(BY_DIAGNOSIS)) is not None:
        return root, BY_DIAGNOSIS
    above = folders.holding({"Original"})
    root = folders.class_root(BY_STAGE) if above is None else joined(above, "Original")
    missing = [name for name in BY_STAGE if name not in folders.contents.get(root, ())]
    if missing or name_of(root) == "Segmented":  # which has class folders of the same names
        raise folders.wrong(f"Original with {', '.join(missing or BY_STAGE)}")
    return root, BY_STAGE


def _names_that_disagree(pictures: Sequence[Picture]) -> tuple[str, ...]:
    """The folder is the class; copies exist in which names and folders say different things."""
    odd = [
        f"{_NAMED[p.label]}: {p.image.name}"
        for p in pictures
        if p.label and (match := _NAME.match(p.image.name)) and match[1] != _NAMED[p.label]
    ]
    if not odd:
        return ()
    return (f"pictures named after another class than their folder: {len(odd)} ({odd[0]}); the folder counts.",)
