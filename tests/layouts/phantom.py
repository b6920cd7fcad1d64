"""What `marrow phantom` writes: slides, manifest.csv and truth/cells.csv, here of three small slides."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from marrow_models.phantom.night import SlideScale, make_phantom

OPTIONS = ReadOptions()
WRONG = "cells.csv"

SMALL = SlideScale(700, 640, cells=(6, 8))
"""A slide that is drawn in a second: no more than the regions that every slide has, and a few cells."""


def write(
    folder: Path,
    *,
    patients: int = 3,
    slide_format: str = "svs",
    seed: int = 3,
    scale: SlideScale = SMALL,
) -> Path:
    """Slides of one format, one a patient; drawn once for all tests of a process."""
    for name, content in _written(patients, slide_format, seed, scale):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@cache
def _written(patients: int, slide_format: str, seed: int, scale: SlideScale) -> tuple[tuple[str, bytes], ...]:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make_phantom(folder, seed=seed, patients=patients, slide_format=slide_format, slides_per_patient=1, scale=scale)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return tuple((path.relative_to(folder).as_posix(), path.read_bytes()) for path in files)
