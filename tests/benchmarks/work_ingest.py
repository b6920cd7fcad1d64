"""The product's work that benchmarks of ingest, reading and survey measure, as jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marrow_models.bundle import Bundle, load_bundle
from marrow_models.decoder.pool import POOL
from marrow_models.decoder.slides import ingest_apart
from marrow_models.pyramid.ingest import ingest_slide
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import Rect
from marrow_models.survey import survey as survey_slide
from tests.benchmarks import floors_ingest
from tests.unit.cell_models.plain_survey import plain_survey


def ingest(source: str, out: str, profile: str = "copy") -> dict[str, Any]:
    """Ingest in this process."""
    return _said(ingest_slide(Path(source), (Path(source),), Path(out), um_per_px=None, profile=profile))


def ingest_beside(source: str, out: str, profile: str = "copy") -> dict[str, Any]:
    """Ingest as a night does: in a decoder process with limits, which is started for it and ended."""
    receipt = ingest_apart(Path(source), (Path(source),), Path(out), um_per_px=None, profile=profile)
    POOL.close()
    return _said(receipt)


def read_regions(store: str) -> dict[str, float]:
    """Read random regions as a worker does, at the slide's own scale, none of whose tiles it has decoded lately."""
    slide = Pyramid.open(Path(store))

    def read(x: int, y: int) -> None:
        slide.scaled_region(slide.um_per_px, Rect(x, y, 512, 512))

    return floors_ingest.medians(read, slide.info.width_px)


def survey(bundle: Bundle, store: str, warm: str, plain: bool = False) -> dict[str, Any]:
    """Survey a store in a process that has surveyed another one before."""
    found = (plain_survey if plain else survey_slide)(Pyramid.open(Path(store)), bundle)
    return {"fields": len(found.fields), "readable_mm2": found.readable_mm2, "rejected_mm2": found.rejected_mm2}


def _warm(store: str, warm: str, plain: bool = False) -> Bundle:
    bundle = load_bundle("phantom")
    survey_slide(Pyramid.open(Path(warm)), bundle)
    return bundle


survey.prepare = _warm  # type: ignore[attr-defined]


def _said(receipt: Any) -> dict[str, Any]:
    return {
        "tiles": receipt.copied_tiles + receipt.recoded_tiles,
        "levels": receipt.levels,
        "bytes": receipt.size_bytes,
    }
