"""What the readers of published folder trees share: finding the folders, and pictures of one cell each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from marrow_models.datasets.images import size_of
from marrow_models.datasets.records import MarkedCell, Picture
from marrow_models.datasets.tree import Tree, open_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marrow_models.datasets.records import ImageRef
    from marrow_models.errors import UserError

_NAMED = 8
"""Names in a message."""


@dataclass(frozen=True, slots=True)
class Folders:
    """A data set by its folders; the name of a folder is relative to the root, which is ``""``."""

    tree: Tree
    layout: str
    """Name of the data set, for messages."""
    contents: Mapping[str, frozenset[str]]
    """Folder to the names of the folders and files directly in it."""
    files: Mapping[str, tuple[str, ...]]
    """Folder to the full names of the files directly in it, by name."""

    def holding(self, names: Collection[str]) -> str | None:
        """The folder nearest to the root that holds all ``names``; None where none does."""
        wanted = frozenset(names)
        return min((f for f, found in self.contents.items() if wanted <= found), key=_nearness, default=None)

    def class_root(self, names: Sequence[str]) -> str:
        """The folder that holds all class folders ``names``; UserError that says which are missing where."""
        if (found := self.holding(names)) is not None:
            return found
        nearest = max(sorted(self.contents, key=_nearness), key=lambda f: len(self.contents[f].intersection(names)))
        missing = [name for name in names if name not in self.contents[nearest]]
        listed = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        raise self.wrong(f"a folder for each of {len(names)} classes: {listed} missing in {nearest or 'it'}")

    def pictures(self, folder: str, suffixes: Collection[str]) -> tuple[str, ...]:
        """The files directly in ``folder`` with one of the endings (lower case); UserError where there is none."""
        if found := self.some(folder, suffixes):
            return found
        raise self.wrong(f"{' or '.join(sorted(suffixes))} files in {folder or 'it'}")

    def some(self, folder: str, suffixes: Collection[str]) -> tuple[str, ...]:
        """As :meth:`pictures`, but there may be none."""
        return tuple(n for n in self.files.get(folder, ()) if PurePosixPath(n).suffix.lower() in suffixes)

    def below(self, folder: str) -> tuple[str, ...]:
        """Full names of the folders directly in ``folder``, by name."""
        within = (joined(folder, name) for name in sorted(self.contents.get(folder, ())))
        return tuple(name for name in within if name in self.contents)

    def wrong(self, expected: str) -> UserError:
        """The error for another layout: what was expected, and what is there."""
        return self.tree.wrong_layout(self.layout, expected)


def open_folders(path: Path, layout: str) -> Folders:
    """List a folder, or a plain tar archive, by its folders. UserError where ``path`` is neither."""
    tree = open_tree(path)
    contents: defaultdict[str, set[str]] = defaultdict(set, {"": set()})
    files: defaultdict[str, list[str]] = defaultdict(list)
    for name in tree.names:
        folder, _, rest = name.rpartition("/")
        files[folder].append(name)
        contents[folder].add(rest)
        while folder:
            folder, _, rest = folder.rpartition("/")
            if rest in contents[folder]:
                break
            contents[folder].add(rest)
    return Folders(
        tree,
        layout,
        {folder: frozenset(names) for folder, names in contents.items()},
        {folder: tuple(names) for folder, names in files.items()},
    )


def joined(folder: str, name: str) -> str:
    """The full name of ``name`` in ``folder``."""
    return f"{folder}/{name}" if folder else name


def name_of(name: str) -> str:
    """The last part of a full name."""
    return name.rpartition("/")[2]


def one_cell(
    ref: ImageRef,
    label: str | None,
    raw_label: str,
    *,
    um_per_px: float | None,
    votes: tuple[str, ...] = (),
    patient: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    domain: str = "",
) -> Picture:
    """A picture of one cell, which lies in its middle. The size is the header's."""
    cell = MarkedCell(label, raw_label, votes=votes, ignored=label is None)
    return Picture(ref, *size_of(ref), um_per_px, (cell,), patient=patient, split=split, fold=fold, domain=domain)


def _nearness(folder: str) -> tuple[int, str]:
    return (folder.count("/") + 1 if folder else 0), folder
