"""The writer's lock: one process at a time, freed by the kernel however the process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from marrow_models.errors import WarehouseError, WarehouseHeld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL_S = 0.1


@contextmanager
def writer_lock(path: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; WarehouseHeld naming the holder after ``wait_s``."""
    descriptor = _open(path)
    try:
        _acquire(descriptor, path, time.monotonic() + wait_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise WarehouseError(
            f"the warehouse's folder cannot be written: {error.strerror}. Check its owner and disk."
        ) from error


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise WarehouseError(
                    f"the file system of {path.parent} has no locks ({error.strerror}): put the home on a local disk."
                ) from error
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                raise WarehouseHeld(
                    f"another run holds the warehouse (PID {holder}). Wait for it, or stop that process."
                ) from error
            time.sleep(POLL_S)
        else:
            return
