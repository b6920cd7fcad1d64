"""Pixels of a data set at a network's scale, kept in a file and mapped: a data set may be larger than memory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrow_models.datasets.records import ImageRef


def kept_pixels(
    folder: Path, name: str, origin: object, shape: tuple[int, ...], draw: Callable[[NDArray[np.uint8]], None]
) -> NDArray[np.uint8]:
    """An array of ``shape`` that ``draw`` fills, or the one that it filled before from an equal ``origin``.

    It is written beside the old one and then takes its place: a training that reads the old one goes on undisturbed.
    """
    digest = {"origin": hashlib.sha256(repr(origin).encode()).hexdigest()}
    path, mark = folder / f"{name}.npy", folder / f"{name}.json"
    if not (mark.exists() and path.exists() and json.loads(mark.read_text(encoding="utf-8")) == digest):
        folder.mkdir(parents=True, exist_ok=True)
        mark.unlink(missing_ok=True)
        partial = folder / f"{name}.{os.getpid()}.partial"
        out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        try:
            draw(out)
            out.flush()
        except BaseException:
            partial.unlink()
            raise
        partial.replace(path)
        mark.write_text(json.dumps(digest), encoding="utf-8")
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False), np.uint8)


def stamp(image: ImageRef) -> tuple[ImageRef, int, int]:
    """Where a picture is, and size and time of its file: another picture may lie there the next time."""
    stat = image.path.stat()
    return image, stat.st_size, stat.st_mtime_ns
