"""Paths as JSON text: any bytes that a file name may hold come through as they are."""

from __future__ import annotations

import os
from pathlib import Path


def text_of(path: Path) -> str:
    """The bytes of an absolute path, each as one character."""
    return os.fsencode(path.absolute()).decode("latin-1")


def path_of(text: str) -> Path:
    """Inverse of :func:`text_of`."""
    return Path(os.fsdecode(text.encode("latin-1")))
