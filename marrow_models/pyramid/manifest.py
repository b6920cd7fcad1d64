"""A store is whole or absent: its manifest, its completion mark, and how one becomes the other.

A store is written beside its place, in a folder ``<store>.partial-<random>`` that its writer holds locked,
compared with its manifest, renamed, and only then marked complete. It stays locked until it is marked.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from marrow_models.errors import Reason, SlideRefused, UserError
from marrow_models.pyramid.shards import FileRecord

MANIFEST = "marrow-manifest.json"
COMPLETE = "COMPLETE"
_LOCK = ".writing"
_BEGINNING_S = 60.0
_CANNOT_BE_WRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})


class StoreError(UserError):
    """A slide's store is not there, not complete, or not as it was written."""

    exit_code = 1


def always() -> None:
    """Nothing prevents it."""


def write_document(path: Path, document: object) -> FileRecord:
    """Write JSON durably; return what the manifest says of it."""
    data = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, data)
    return FileRecord(len(data), 0, hashlib.sha256(data).hexdigest())


def write_manifest(store: Path, files: Mapping[str, FileRecord], about: Mapping[str, Any]) -> None:
    """Write the manifest of a store: ``about`` it, and the size, chunks and SHA-256 of every other file."""
    records = {name: asdict(record) for name, record in sorted(files.items())}
    write_document(store / MANIFEST, {**about, "files": records})


def read_manifest(store: Path) -> dict[str, Any]:
    """Read the manifest of a complete store.

    Raises
    ------
    StoreError
        The store has no completion mark, or the mark is of another manifest.
    """
    try:
        mark = (store / COMPLETE).read_text("ascii").strip()
        data = (store / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{store.name} is not a complete store: ingest the slide (again)") from None
    if hashlib.sha256(data).hexdigest() != mark:
        raise StoreError(f"{store.name}: the manifest is not the one that was completed; ingest the slide again")
    found: dict[str, Any] = json.loads(data)
    return found


def check_sizes(store: Path, manifest: Mapping[str, Any]) -> None:
    """Compare the sizes of all files with the manifest: cheap, finds what is cut or gone.

    Raises
    ------
    StoreError
    """
    for name, record in manifest["files"].items():
        path = store / name
        if not path.is_file() or path.stat().st_size != record["bytes"]:
            raise StoreError(f"{store.name}: {name} is not as it was written; ingest the slide again")


def check_content(store: Path) -> None:
    """Compare every byte of a store with its manifest: as slow as reading it, finds whatever changed.

    Raises
    ------
    StoreError
    """
    manifest = read_manifest(store)
    check_sizes(store, manifest)
    for name, record in manifest["files"].items():
        with (store / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != record["sha256"]:
                raise StoreError(f"{store.name}: the content of {name} has changed; ingest the slide again")


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn a full or failing disk under the stores into SlideRefused(DISK_FULL); other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _CANNOT_BE_WRITTEN:
            raise SlideRefused(Reason.DISK_FULL, errno.errorcode[error.errno]) from None
        raise


@contextmanager
def partial_store(store: Path) -> Iterator[Path]:
    """Give an empty folder beside ``store`` to write to; it goes away unless :func:`complete` renamed it.

    Folders that a dead writer left behind are removed first; those of a living one are locked, and stay.
    """
    store.parent.mkdir(parents=True, exist_ok=True)
    sweep(store)
    partial = store.with_name(f"{store.name}.partial-{secrets.token_hex(6)}")
    partial.mkdir()
    lock = os.open(partial / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield partial
    finally:
        os.close(lock)
        shutil.rmtree(partial, ignore_errors=True)


def complete(partial: Path, store: Path, *, may_appear: Callable[[], None] = always) -> None:
    """Put a finished folder in its place, instead of what is there, and mark it complete.

    Where another writer of the same request was faster, its store stays. ``may_appear`` is asked just before
    anything becomes visible, and raises to prevent it.

    Raises
    ------
    StoreError
        Something in the folder is not as its manifest says.
    """
    data = (partial / MANIFEST).read_bytes()
    manifest = json.loads(data)
    check_sizes(partial, manifest)
    _sync_folder(partial)
    may_appear()
    if store.exists():
        _await_writer(store)
        if answers(store, manifest["request"]):
            return
        remove(store)
    partial.rename(store)
    _sync_folder(store.parent)
    _write(store / COMPLETE, (hashlib.sha256(data).hexdigest() + "\n").encode())
    _sync_folder(store)
    (store / _LOCK).unlink()


def answers(store: Path, request: Mapping[str, Any]) -> bool:
    """Whether a store is complete, with all of its files, and was made for ``request``."""
    try:
        manifest = read_manifest(store)
        check_sizes(store, manifest)
    except StoreError:
        return False
    return bool(manifest.get("request") == request)


def remove(store: Path) -> None:
    """Remove a store; its mark goes first, so that a crash leaves nothing that looks whole."""
    (store / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(store, ignore_errors=True)


def _await_writer(store: Path) -> None:
    """Wait for a writer that has renamed its folder and is about to mark it."""
    try:
        lock = os.open(store / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(lock)


def sweep(store: Path) -> None:
    """Remove what dead writers of ``store`` left behind."""
    for left in store.parent.glob(f"{_escaped(store.name)}.partial-*"):
        try:
            lock = os.open(left / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # its writer is just beginning, or is long gone
            if time.time() - left.stat().st_mtime > _BEGINNING_S:
                shutil.rmtree(left, ignore_errors=True)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
