"""The product's work that benchmarks of ingest, reading and survey measure, as jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marrow_models.decoder.slides import ingest_apart
from marrow_models.pyramid.ingest import ingest_slide


def ingest(source: str, out: str, profile: str = "copy") -> dict[str, Any]:
    """Ingest in this process."""
    return _said(ingest_slide(Path(source), (Path(source),), Path(out), um_per_px=None, profile=profile))


def ingest_beside(source: str, out: str, profile: str = "copy") -> dict[str, Any]:
    """Ingest as a night does: in a decoder process with limits, which is started for it and ended."""
    from marrow_models.decoder.pool import POOL

    receipt = ingest_apart(Path(source), (Path(source),), Path(out), um_per_px=None, profile=profile)
    POOL.close()
    return _said(receipt)


def _said(receipt: Any) -> dict[str, Any]:
    return {
        "tiles": receipt.copied_tiles + receipt.recoded_tiles,
        "levels": receipt.levels,
        "bytes": receipt.size_bytes,
    }
