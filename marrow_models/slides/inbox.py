"""What lies in the inbox: slides, known by their content, and files that look like slides but are none.

Listing itself reads names and file status only; what looks into the files is given by the caller.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides.files import kind_of, source_errors
from marrow_models.slides.identity import digest_of
from marrow_models.slides.look import Look, Looker, is_odd_name, look_here
from marrow_models.slides.mirax import is_mirax, side_folder

_HELPER_SUFFIXES = frozenset(
    {".csv", ".tsv", ".txt", ".json", ".xml", ".md", ".pdf", ".xlsx", ".log", ".ini", ".md5", ".sha256", ".done"}
    | {".part", ".partial", ".tmp", ".filepart", ".crdownload"}  # names that programs give to files they still copy
)
_IGNORED_FOLDERS = frozenset({"truth"})
_MAX_DEPTH = 2
"""Sub-folders of the inbox, and folders of DICOM series in them."""
_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One slide of the inbox."""

    path: Path
    """The main file: the one whose name a manifest gives. Of a DICOM series, its largest instance."""
    members: tuple[Path, ...]
    """All files of the slide in a fixed order, the main one included."""
    relative_name: str
    """Path of the main file relative to the inbox, ``/`` between its parts, in Unicode NFC."""
    format: str
    size_bytes: int
    mtime_ns: int
    """Time of the last change of any member."""
    aliases: tuple[str, ...] = ()
    """Other names a manifest may use: of the other members, and of a folder that holds this slide alone."""
    odd_name: bool = False
    """Slides of this format are usually named otherwise."""


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """A file of the inbox that cannot be taken as a slide."""

    relative_name: str
    path: Path
    reason: Reason
    detail: str


@dataclass(slots=True)
class _Found:
    entries: list[InboxEntry]
    refused: list[RefusedEntry]
    series: dict[str, list[tuple[Path, Look]]]
    files: list[tuple[Path, int]]
    """Regular files to be looked at, and how deep in the inbox they lie."""


def find_slides(inbox: Path, looker: Looker = look_here) -> tuple[list[InboxEntry], list[RefusedEntry]]:
    """List the slides of ``inbox``, sorted by name; only the first bytes of each file are read, by ``looker``.

    Content decides what is a slide. Files that belong together (MIRAX, a DICOM series) are one entry.
    Helper files (manifest, notes, hidden files, the folder ``truth``) are passed over. Links are not followed.
    """
    found = _Found([], [], {}, [])
    _walk(inbox, inbox, 0, found)
    looks = looker([path for path, _ in found.files])
    for (path, depth), look in zip(found.files, looks, strict=True):
        try:
            _add(inbox, path, depth, look, found)
        except SlideRefused as refusal:
            _refuse(inbox, path, refusal, found)
    _add_series(inbox, found)
    return sorted(found.entries, key=lambda e: e.relative_name), sorted(found.refused, key=lambda e: e.relative_name)


def is_stable(entry: InboxEntry, *, now_ns: int, quiet_s: float) -> bool:
    """Whether a slide is complete: nothing of it changed since it was listed, nor in the last ``quiet_s`` seconds.

    A time of change more than a day ahead says only that some clock is wrong; then the first part must do.
    """
    try:
        size, newest = _size_and_time(entry.members)
    except SlideRefused:
        return False
    if (size, newest) != (entry.size_bytes, entry.mtime_ns):
        return False
    age_ns = now_ns - newest
    return age_ns >= quiet_s * 1e9 or age_ns < -_DAY_NS


def content_digest(entry: InboxEntry) -> str:
    """SHA-256 over the content of a slide, in hex; see :func:`marrow_models.slides.identity.digest_of`."""
    return digest_of(entry.path, entry.members, entry.format)


def _walk(inbox: Path, folder: Path, depth: int, found: _Found) -> None:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except PermissionError:
        found.refused.append(RefusedEntry(_name(inbox, folder), folder, Reason.NO_PERMISSION, "a folder"))
        return
    side_folders = {side_folder(Path(entry.name)).name for entry in entries if is_mirax(Path(entry.name))}
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            passed_over = entry.name in side_folders or (depth == 0 and entry.name in _IGNORED_FOLDERS)
            if not passed_over and depth < _MAX_DEPTH:
                _walk(inbox, path, depth + 1, found)
        elif path.suffix.lower() not in _HELPER_SUFFIXES:
            try:
                _check_kind(path)
            except SlideRefused as refusal:
                _refuse(inbox, path, refusal, found)
            else:
                found.files.append((path, depth))


def _check_kind(path: Path) -> None:
    with source_errors():
        kind = kind_of(path.lstat().st_mode)
    if kind is not None:
        raise SlideRefused(Reason.NOT_REGULAR_FILE, kind)


def _refuse(inbox: Path, path: Path, refusal: SlideRefused, found: _Found) -> None:
    found.refused.append(RefusedEntry(_name(inbox, path), path, refusal.reason, refusal.detail))


def _add(inbox: Path, path: Path, depth: int, look: Look | SlideRefused | None, found: _Found) -> None:
    if isinstance(look, SlideRefused):
        raise look
    if look is None:
        return
    if look.series is not None:
        found.series.setdefault(look.series, []).append((path, look))
    elif depth < _MAX_DEPTH:
        found.entries.append(_entry(inbox, path, look.members, look.format, ()))


def _add_series(inbox: Path, found: _Found) -> None:
    """Make one entry of all instances of a DICOM series."""
    owners: dict[Path, set[str]] = {}
    for series, instances in found.series.items():
        for path, _ in instances:
            owners.setdefault(path.parent, set()).add(series)
    taken = {entry.path.parent for entry in found.entries}
    for instances in found.series.values():
        paths = tuple(sorted(path for path, _ in instances))
        try:
            with source_errors():
                main = max(instances, key=lambda item: (item[1].is_volume, item[0].lstat().st_size, str(item[0])))[0]
            folders = {path.parent for path in paths} - {inbox} - taken
            own = [_name(inbox, folder) for folder in sorted(folders) if len(owners[folder]) == 1]
            aliases = [_name(inbox, path) for path in paths if path != main] + own
            found.entries.append(_entry(inbox, main, paths, "dicom", tuple(aliases)))
        except SlideRefused as refusal:
            _refuse(inbox, paths[0], refusal, found)


def _entry(inbox: Path, path: Path, members: tuple[Path, ...], name: str, aliases: tuple[str, ...]) -> InboxEntry:
    size, newest = _size_and_time(members)
    return InboxEntry(path, members, _name(inbox, path), name, size, newest, aliases, is_odd_name(path, name))


def _size_and_time(members: tuple[Path, ...]) -> tuple[int, int]:
    with source_errors():
        stats = [member.lstat() for member in members]
    return sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats)


def _name(inbox: Path, path: Path) -> str:
    """Path relative to the inbox in NFC; bytes that are no UTF-8 are written as escapes, so any name can be stored."""
    raw = os.fsencode(path.relative_to(inbox).as_posix())
    return unicodedata.normalize("NFC", raw.decode("utf-8", "backslashreplace"))
