"""Ingest: from the scanner's file to an OME-Zarr store, whole or absent."""

from __future__ import annotations

from marrow_models.errors import Reason, SlideRefused
from marrow_models.pyramid.ingest import StoreReceipt
from marrow_models.pyramid.ingest import ingest_slide as write_store
from marrow_models.pyramid.manifest import read_manifest
from tasks.night import Night, Slide
from tasks.stage import slide_stage
from warehouse.ledger import State


@slide_stage("ingest", enters=State.INGESTED)
def ingest_slide(night: Night, slide_id: str, slide: Slide) -> StoreReceipt:
    """Bring a slide of the inbox into HOME/slides. A store that is there already is kept as it is."""
    if slide.path is None:
        raise SlideRefused(Reason.SOURCE_GONE)
    receipt: StoreReceipt = night.workers.call(
        f"ingest-{slide_id}-{night.run_id}",
        write_store,
        slide.path,
        slide.members,
        night.home.store(slide_id),
        um_per_px=slide.um_per_px,
        profile=night.plan.store_profile,
        may_appear=night.warehouse.fence.check,
    )
    return receipt


def read_receipt(night: Night, slide_id: str) -> StoreReceipt:
    """What the ingest of a stored slide made; an error of the store's own when it is not whole."""
    return StoreReceipt(**read_manifest(night.home.store(slide_id))["receipt"])
