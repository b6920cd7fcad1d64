"""Opening source files so that nothing but a regular file is ever read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from marrow_models.errors import Reason, SlideRefused

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.EIO})
_DENIED = frozenset({errno.EACCES, errno.EPERM})


@contextmanager
def source_errors() -> Iterator[None]:
    """Turn operating-system errors on a *source* into :class:`SlideRefused`; others pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _GONE:
            raise SlideRefused(Reason.SOURCE_GONE, errno.errorcode[error.errno]) from None
        if error.errno in _DENIED:
            raise SlideRefused(Reason.NO_PERMISSION) from None
        if error.errno == errno.ELOOP:
            raise SlideRefused(Reason.NOT_REGULAR_FILE, "a symbolic link") from None
        raise


def kind_of(mode: int) -> str | None:
    """Say what a file that is not regular is ("a pipe", ...); None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    tests = (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISDIR, "a folder"),
    )
    return next((name for test, name in tests if test(mode)), "a device")


def open_regular(path: Path) -> BinaryIO:
    """Open ``path`` for unbuffered reading; a link, pipe or device is refused, and none can make this wait.

    Raises
    ------
    SlideRefused
        NOT_REGULAR_FILE, SOURCE_GONE or NO_PERMISSION.
    """
    with source_errors():
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = kind_of(os.fstat(descriptor).st_mode)
    if kind is not None:
        os.close(descriptor)
        raise SlideRefused(Reason.NOT_REGULAR_FILE, kind)
    return os.fdopen(descriptor, "rb", buffering=0)


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Read up to ``count`` bytes at ``offset``; fewer only at the end of the file. Safe across threads.

    Raises
    ------
    SlideRefused
        SOURCE_GONE where the disk or its server fails.
    """
    return read_descriptor(file.fileno(), offset, count)


def read_descriptor(descriptor: int, offset: int, count: int) -> bytes:
    """As :func:`read_at`, of an open descriptor."""
    parts: list[bytes] = []
    while count > 0:
        try:
            part = os.pread(descriptor, count, offset)
        except OSError:
            with source_errors():
                raise
        if len(part) == count and not parts:
            return part
        if not part:
            break
        parts.append(part)
        offset += len(part)
        count -= len(part)
    return b"".join(parts)


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size
