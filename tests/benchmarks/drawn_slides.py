"""Slides for benchmarks: drawn with known truth and ingested once a run of the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

from marrow_models.phantom.night import SlideScale, make_phantom
from marrow_models.pyramid.ingest import ingest_slide


@dataclass(frozen=True, slots=True)
class Slide:
    """An ingested slide and the folder of its inbox, which holds the truth."""

    store: Path
    inbox: Path


@lru_cache(maxsize=4)
def ingested(side_px: int = 4096, cells: int = 620, seed: int = 5) -> Slide:
    """A slide of ``side_px`` with about ``cells`` readable cells."""
    folder = Path(mkdtemp(prefix="marrow-benchmark-"))
    scale = SlideScale(side_px, side_px, cells=(cells, cells + 20))
    night = make_phantom(folder / "inbox", seed=seed, patients=1, slides_per_patient=1, scale=scale)
    file = night.folder / night.slides[0].file
    ingest_slide(file, (file,), folder / "slide.ome.zarr", um_per_px=None)
    return Slide(folder / "slide.ome.zarr", night.folder)
