"""Load: one slide, one transaction, by the one process that writes."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from marrow_models.pyramid.ingest import StoreReceipt
from tasks.analyse import SlideCells
from tasks.night import Night, Slide
from tasks.receipts import Receipts
from tasks.stage import slide_stage
from warehouse import load, read
from warehouse.ledger import State
from warehouse.records import AnalysisRecord, FieldRecord, LoadReceipt, SlideRecord


def has_result(night: Night, slide: Slide) -> bool:
    """Whether the warehouse has what this night would compute for a slide; it is the slide's current result then.

    A um_per_px in the manifest that is not the one the slide was read at asks for another result.
    """
    stored = read.stored_result(night.warehouse, slide.slide_id, night.bundle.digest, night.config_digest)
    if stored is None:
        return False
    scale = read.slide_um_per_px(night.warehouse, slide.slide_id)
    if slide.um_per_px is not None and (scale is None or not math.isclose(slide.um_per_px, scale, rel_tol=1e-6)):
        return False
    if not stored.is_current:
        load.make_current(night.warehouse, stored.result_key)
    return True


@slide_stage("load", enters=State.LOADED)
def load_cells(night: Night, slide_id: str, receipt: StoreReceipt, found: SlideCells) -> LoadReceipt:
    """Store the cells of a slide under their result key; a key that is stored already changes no row.

    The receipts of its fields are of no more use then.
    """
    um2_per_px = receipt.um_per_px**2
    slide = SlideRecord(
        slide_id,
        None,  # what discovery stored stays
        read.first_seen_at(night.warehouse, slide_id) or datetime.now(UTC),
        width_px=receipt.width_px,
        height_px=receipt.height_px,
        um_per_px=receipt.um_per_px,
        missing_um2=receipt.missing_px * um2_per_px,
        unscanned_um2=receipt.unscanned_px * um2_per_px,
    )
    counts = dict.fromkeys((field.field_id for field in found.fields), 0)
    for field_id in found.cells.field_id.tolist():
        counts[field_id] += 1
    analysis = AnalysisRecord(
        result_key=night.result_key(slide_id, receipt.um_per_px),
        slide_id=slide_id,
        model_digest=night.bundle.digest,
        config_digest=night.config_digest,
        run_id=night.run_id,
        cells=len(found.cells),
        analysed_um2=sum(f.rect_px.width * f.rect_px.height for f in found.fields) * um2_per_px,
        seconds=found.seconds,
        fields=tuple(FieldRecord(field, counts[field.field_id]) for field in found.fields),
        attributes=night.bundle.classifier.attributes,
    )
    stored = load.load_slide(night.warehouse, slide, analysis, found.cells)
    Receipts(night.home.work / analysis.result_key).remove()
    return stored
