"""Small disks, and disks that fail: a tmpfs where this account may mount one, and file functions that raise."""

from __future__ import annotations

import builtins
import io
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def can_mount(folder: Path) -> bool:
    """Whether this account may mount a tmpfs."""
    try:
        with small_disk(folder / "probe", mib=1):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk(folder: Path, *, mib: int) -> Iterator[Path]:
    """A disk of its own at ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "marrow-test", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def fill(folder: Path, *, leave_bytes: int = 0) -> Path:
    """Fill a small disk but for so many bytes; the file to remove to have room again."""
    ballast = folder / ".ballast"
    with ballast.open("wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        file.truncate(max(0, file.tell() - leave_bytes))
    return ballast


class FailingDisk:
    """Counts what changes files under a folder, and lets the ``nth`` of it fail with ``error``."""

    def __init__(self, folder: Path, nth: int, error: int) -> None:
        self._folder, self._nth, self._error = str(folder), nth, error
        self.count = 0

    @property
    def failed(self) -> bool:
        """Whether the fault was reached."""
        return self.count >= self._nth

    def _touch(self, path: object) -> None:
        if not str(path).startswith(self._folder):
            return
        self.count += 1
        if self.count == self._nth:
            raise OSError(self._error, os.strerror(self._error), "a file")

    @contextmanager
    def at_work(self) -> Iterator[FailingDisk]:
        """While the block runs, files are changed through this disk."""
        real_open, fsync = io.open, os.fsync

        def opening(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not set(mode) & set("wxa+") or not str(path).startswith(self._folder):
                return real_open(path, mode, *args, **kwargs)
            self._touch(path)
            return _Watched(real_open(path, mode, *args, **kwargs), lambda: self._touch(path))

        def flushing(descriptor: int) -> None:
            self._touch(Path(f"/proc/self/fd/{descriptor}").readlink())
            fsync(descriptor)

        def moving(real: Callable[..., None]) -> Callable[..., None]:
            def call(source: Any, target: Any, **kwargs: Any) -> None:
                self._touch(target)
                real(source, target, **kwargs)

            return call

        patched = {
            (io, "open"): opening,
            (builtins, "open"): opening,
            (os, "fsync"): flushing,
            (os, "rename"): moving(os.rename),
            (os, "replace"): moving(os.replace),
        }
        before = {key: getattr(*key) for key in patched}
        for key, function in patched.items():
            setattr(*key, function)
        try:
            yield self
        finally:
            for key, function in before.items():
                setattr(*key, function)


class _Watched:
    """A file whose writes are counted."""

    def __init__(self, file: Any, touch: Callable[[], None]) -> None:
        self._file, self._touch = file, touch

    def write(self, data: Any) -> int:
        self._touch()
        written: int = self._file.write(data)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
