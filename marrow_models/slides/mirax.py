"""The files of a MIRAX slide: ``NAME.mrxs`` and a folder ``NAME`` with an index and data files."""

from __future__ import annotations

import configparser
from pathlib import Path

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides.files import kind_of, open_regular, read_at, source_errors

SUFFIX = ".mrxs"
_INI = "Slidedat.ini"
_MAX_INI_BYTES = 4 << 20


def is_mirax(path: Path) -> bool:
    """Whether a file is the main one of a MIRAX slide. Its content is a picture: only the name tells."""
    return path.suffix.lower() == SUFFIX


def side_folder(path: Path) -> Path:
    """Return the folder that belongs to a MIRAX main file."""
    return path.with_suffix("")


def mirax_members(path: Path) -> tuple[Path, ...]:
    """All files of a MIRAX slide in a fixed order: the main file, then those of its folder by name.

    Raises
    ------
    SlideRefused
        MISSING_SIDECAR where the folder, its index or one of the listed data files is not there;
        NOT_REGULAR_FILE where one of them is a link or a pipe.
    """
    folder = side_folder(path)
    if folder.is_symlink():
        raise SlideRefused(Reason.NOT_REGULAR_FILE, "the folder is a symbolic link")
    if not (folder / _INI).exists():
        raise SlideRefused(Reason.MISSING_SIDECAR, "the folder beside the .mrxs file, or its Slidedat.ini")
    with source_errors():
        members = sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda p: p.name)
        for member in members:
            kind = kind_of(member.lstat().st_mode)
            if kind is not None:
                raise SlideRefused(Reason.NOT_REGULAR_FILE, f"{kind} in the folder")
    _check_listed(folder, {member.name for member in members})
    return (path, *members)


def _check_listed(folder: Path, present: set[str]) -> None:
    """Compare the folder with the files that Slidedat.ini lists."""
    with open_regular(folder / _INI) as file:
        text = read_at(file, 0, _MAX_INI_BYTES).decode("utf-8-sig", "replace")
    ini = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        ini.read_string(text)
        index = ini.get("HIERARCHICAL", "INDEXFILE")
        count = ini.getint("DATAFILE", "FILE_COUNT")
    except (configparser.Error, ValueError):
        raise SlideRefused(Reason.CORRUPT_HEADER, "Slidedat.ini") from None
    if index not in present:
        raise SlideRefused(Reason.MISSING_SIDECAR, "the index file")
    for number in range(min(count, 100_000)):
        if ini.get("DATAFILE", f"FILE_{number}", fallback=None) not in present:
            raise SlideRefused(Reason.MISSING_SIDECAR, f"data file {number + 1} of {count}")
