"""By what a slide is known: the digest of its bytes, and whether they are still those that were digested.

A slide is ingested long after it was hashed. To read it twice every time would double the reading of a night, so each
file's stamp is compared instead: device, inode, size, time of change of content and of the entry itself. The last one
(ctime) is set by the system on every write and cannot be set back by a program. Only where a stamp differs, or was
never taken, are the bytes hashed again, and they decide.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides.files import open_regular, source_errors
from marrow_models.slides.mirax import side_folder

_BLOCK_BYTES = 1 << 20


class Stamp(NamedTuple):
    """What the system says of a file without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose bytes a source must hold."""

    slide_id: str
    stamps: tuple[Stamp, ...] | None
    """Of its files, in their order, taken before their content was hashed; None: hash it again."""

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {"slide_id": self.slide_id, "stamps": self.stamps}

    @staticmethod
    def of(plain: dict[str, Any]) -> Expected:
        """Inverse of :meth:`plain`."""
        found = plain["stamps"]
        return Expected(plain["slide_id"], None if found is None else tuple(Stamp(*stamp) for stamp in found))


def stamps(members: Sequence[Path]) -> tuple[Stamp, ...]:
    """The stamp of each file, in order.

    Raises
    ------
    SlideRefused
        SOURCE_GONE or NO_PERMISSION.
    """
    with source_errors():
        stats = [member.lstat() for member in members]
    return tuple(Stamp(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats)


def digest_of(path: Path, members: Sequence[Path], slide_format: str) -> str:
    """SHA-256 over the content of a slide, in hex; where a slide came from and how it is named do not matter.

    The files of a MIRAX folder are told apart by their names in it, which are part of the format;
    DICOM instances by their content.

    Raises
    ------
    SlideRefused
        SOURCE_GONE or NO_PERMISSION.
    """
    if len(members) == 1:
        return _file_digest(path)
    digests = {member: _file_digest(member) for member in members}
    if slide_format == "mirax":
        folder = side_folder(path)
        names = (str(m.relative_to(folder)) if m != path else "" for m in members)
        parts = [f"{name}\0{digest}" for name, digest in zip(names, digests.values(), strict=True)]
    else:
        parts = sorted(digests.values())
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def slide_id_of(digest: str) -> str:
    """Return the slide's id from its content digest."""
    return "s" + digest[:24]


def check_source(
    path: Path, members: Sequence[Path], slide_format: str, before: tuple[Stamp, ...], expected: Expected | None
) -> None:
    """Make sure that what was read since ``before`` is what is there now, and that it is the slide expected.

    Raises
    ------
    SlideRefused
        SOURCE_CHANGED, SOURCE_GONE or NO_PERMISSION.
    """
    after = stamps(members)
    if expected is None:
        if after != before:
            raise SlideRefused(Reason.SOURCE_CHANGED, "while it was read")
        return
    if expected.stamps is not None and before == after == expected.stamps:
        return
    same = slide_id_of(digest_of(path, members, slide_format)) == expected.slide_id
    # A file that was touched while it was read may hold the right bytes again: what was read of it is unknown.
    if not same or not before == after == stamps(members):
        raise SlideRefused(Reason.SOURCE_CHANGED, "after it was listed")


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file, source_errors():
        for block in _blocks(file.fileno()):
            digest.update(block)
    return digest.hexdigest()


def _blocks(descriptor: int) -> Iterator[bytes]:
    while block := os.read(descriptor, _BLOCK_BYTES):
        yield block
