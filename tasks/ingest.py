"""Ingest: from the scanner's file to an OME-Zarr store, whole or absent."""

from __future__ import annotations

from marrow_models.decoder.slides import DecoderLimits, ingest_apart
from marrow_models.errors import Reason, SlideRefused
from marrow_models.pyramid.ingest import StoreReceipt
from marrow_models.pyramid.manifest import read_manifest
from tasks.night import Night, Slide
from tasks.plan import NightPlan
from tasks.stage import slide_stage
from warehouse.ledger import State


@slide_stage("ingest", enters=State.INGESTED)
def ingest_slide(night: Night, slide_id: str, slide: Slide) -> StoreReceipt:
    """Bring a slide of the inbox into HOME/slides. A store that is there already is kept as it is.

    The file is opened and decoded in a process beside the worker, with limits of its own.
    """
    if slide.path is None:
        raise SlideRefused(Reason.SOURCE_GONE)
    receipt: StoreReceipt = night.workers.call(
        f"ingest-{slide_id}-{night.run_id}",
        ingest_apart,
        slide.path,
        slide.members,
        night.home.store(slide_id),
        um_per_px=slide.um_per_px,
        profile=night.plan.store_profile,
        max_lost=night.plan.max_lost,
        expected=slide.expected,
        limits=decoder_limits(night.plan),
        may_appear=night.warehouse.fence.check,
    )
    return receipt


def decoder_limits(plan: NightPlan) -> DecoderLimits:
    """What one file of the inbox may cost, as the settings say."""
    return DecoderLimits(plan.open_timeout_s, plan.slide_timeout_s, plan.decoder_memory_mb << 20)


def read_receipt(night: Night, slide_id: str) -> StoreReceipt:
    """What the ingest of a stored slide made; an error of the store's own when it is not whole."""
    return StoreReceipt(**read_manifest(night.home.store(slide_id))["receipt"])
