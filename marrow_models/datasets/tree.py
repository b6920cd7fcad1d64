"""The files of a data set, be they in a folder or in a tar archive, under the same names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from marrow_models.datasets.images import SUFFIXES, archive_index, read_bytes
from marrow_models.datasets.records import ImageRef
from marrow_models.errors import UserError

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""How folders (lower case) call the splits."""

_SHOWN = 8
_LARGEST_TEXT_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Tree:
    """What lies in a folder or an archive. Hidden files, and what unpackers leave behind, are not listed."""

    root: Path
    names: tuple[str, ...]
    """Regular files relative to the root, with ``/``, sorted."""
    is_archive: bool

    def ref(self, name: str) -> ImageRef:
        """The file ``name`` as a picture; not opened."""
        return ImageRef(self.root, name) if self.is_archive else ImageRef(self.root / name)

    def read(self, name: str) -> bytes:
        """The bytes of the file ``name``; UserError where it is missing or larger than any annotation."""
        data = read_bytes(self.ref(name))
        if len(data) > _LARGEST_TEXT_BYTES:
            raise UserError(f"{self.where(name)}: larger than {_LARGEST_TEXT_BYTES} bytes; no annotation file is.")
        return data

    def text(self, name: str) -> str:
        """The file ``name`` as UTF-8 text; UserError where it is none."""
        try:
            return self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{self.where(name)}: not UTF-8 text (byte {error.start}). Store it as UTF-8.") from error

    def where(self, name: str) -> str:
        """How the file ``name`` is called in messages."""
        return f"{self.root}: {name}" if self.is_archive else str(self.root / name)

    def pictures(self, below: str = "") -> tuple[str, ...]:
        """Names of the picture files in the folder ``below`` and all of its folders; everywhere without one."""
        prefix = f"{below}/" if below else ""
        return tuple(n for n in self.names if n.startswith(prefix) and PurePosixPath(n).suffix.lower() in SUFFIXES)

    def folders(self) -> tuple[str, ...]:
        """Names of the folders directly below the root, sorted."""
        return tuple(sorted({name.split("/", 1)[0] for name in self.names if "/" in name}))

    def has_folder(self, folder: str) -> bool:
        """Whether there is any file below ``folder``."""
        return any(name.startswith(f"{folder}/") for name in self.names)

    def wrong_layout(self, layout: str, expected: str) -> UserError:
        """The error for a data set that is not in the ``layout`` asked for: what was expected, and what is there."""
        top = [f"{folder}/" for folder in self.folders()] + [name for name in self.names if "/" not in name]
        more = f" and {len(top) - _SHOWN} more" if len(top) > _SHOWN else ""
        found = ", ".join(top[:_SHOWN]) + more if top else "no file"
        return UserError(
            f"{self.root}: not the layout {layout!r}. Expected {expected}; found {found}. "
            "Give the folder or archive that holds these, or the name of another layout."
        )


def open_tree(path: Path) -> Tree:
    """List the files in a folder (links to folders are not followed) or in a plain tar archive.

    UserError where ``path`` is neither.
    """
    if path.is_dir():
        return Tree(path, tuple(sorted(name for name in _walked(path) if not _is_litter(name))), is_archive=False)
    if not path.exists():
        raise UserError(f"{path}: there is nothing at this path.")
    return Tree(path, tuple(name for name in archive_index(path) if not _is_litter(name)), is_archive=True)


def split_of(folder: str) -> str | None:
    """The split that a folder or file is named after (``Training`` is ``train``); None for any other name."""
    return SPLIT_FOLDERS.get(folder.lower())


def _walked(root: Path) -> list[str]:
    found = []
    for folder, _, files in os.walk(root):
        relative = Path(folder).relative_to(root)
        found += [(relative / file).as_posix() for file in files]
    return found


def _is_litter(name: str) -> bool:
    parts = name.split("/")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
