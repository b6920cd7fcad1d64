"""Files that are replaced whole: written beside, flushed to the disk, then renamed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_NOT_KNOWN = (errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system says that cannot do a thing."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes the place of ``path`` when the block succeeds.

    Whoever has the old file open keeps it. What an earlier, killed writer left behind is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*.tmp*"):
        remove(leftover)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield staged
        sync(staged)
        staged.replace(path)
        sync(path.parent)
    finally:
        for leftover in path.parent.glob(f"{staged.name}*"):
            remove(leftover)


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with what it holds; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def linked(source: Path, target: Path) -> bool:
    """Give a file a second name; False where it is not there or the file system has no second names."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EXDEV, errno.EPERM, errno.EMLINK, *_NOT_KNOWN):
            return False
        raise
    return True


def copy(source: Path, target: Path) -> None:
    """Copy a file within the kernel; file systems that can (XFS, Btrfs) only share its blocks."""
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
                pass
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, *_NOT_KNOWN):
                raise
            reader.seek(0)
            writer.truncate(0)
            writer.seek(0)
            shutil.copyfileobj(reader, writer, 1 << 20)


def nobody_has_open(path: Path) -> bool:
    """Whether no process of this machine has the file open or mapped; False where that cannot be told.

    A write lease (Linux) is granted for a file that nobody else has open, by whatever name it was opened.
    """
    take = getattr(fcntl, "F_SETLEASE", None)
    if take is None:
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(descriptor, take, fcntl.F_WRLCK)
        fcntl.fcntl(descriptor, take, fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
