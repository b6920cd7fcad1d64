"""Validate: the gates of Great Expectations - the manifest, each slide's cells, the night before it is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marrow_models.errors import NightFailed, Reason, SlideRefused
from marrow_models.model_output import check_output
from tasks.night import Night
from tasks.plan import manifest_path
from tasks.stage import night_stage, slide_stage
from warehouse.frames import attribute_parameters, attributes_frame, cells_frame, manifest_frame, night_frame
from warehouse.ledger import State, reconcile
from warehouse.manifest import Manifest, read_manifest
from warehouse.validate import GateResult, store_results

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from marrow_models.pyramid.ingest import StoreReceipt
    from tasks.analyse import SlideCells


ENOUGH_FOR_A_SHARE = 10
"""Slides of a night from which the share in quarantine is judged."""


@night_stage("validate manifest")
def validate_manifest(night: Night) -> Manifest:
    """The manifest, read row by row; a bad row costs its own slide. A manifest that fails its gate fails the night."""
    manifest = read_manifest(manifest_path(night.plan))
    result = _gate(night, "manifest", manifest_frame(manifest, night.pseudonyms.text))
    if not result.success:
        raise NightFailed(f"The manifest did not pass its gate: {result.detail}. Correct manifest.csv and run again.")
    return manifest


@slide_stage("validate", enters=State.VALIDATED)
def validate_cells(night: Night, slide_id: str, store: StoreReceipt, found: SlideCells) -> None:
    """Raise :class:`SlideRefused` with the failing expectation when the slide's cells do not pass their gates.

    The second, of their morphology, is for models that tell it. What no working model returns is MODEL_OUTPUT.
    """
    check_output(found.cells)
    result = _gate(
        night,
        "cells",
        cells_frame(found.cells),
        slide_id=slide_id,
        parameters={
            "slide_width_um": store.width_px * store.um_per_px,
            "slide_height_um": store.height_px * store.um_per_px,
            "labels": list(night.bundle.labels),
            "fields": [field.field_id for field in found.fields],
        },
    )
    if not result.success:
        raise SlideRefused(Reason.EXPECTATION_FAILED, result.detail)
    values = night.bundle.classifier.attributes
    if not values:
        return
    parameters = attribute_parameters(values, len(found.cells))
    result = _gate(night, "attributes", attributes_frame(found.cells), slide_id=slide_id, parameters=parameters)
    if not result.success:
        raise SlideRefused(Reason.EXPECTATION_FAILED, result.detail)


@night_stage("validate night")
def validate_night(night: Night, *, least_discovered: int = 1, all_may_fail: bool = False) -> None:
    """Raise :class:`NightFailed` unless every slide is accounted for and the whole passes its gate.

    ``all_may_fail`` for a run of slides that failed before: it may well be that none of them is better now.
    """
    counts = reconcile(night.warehouse, night.run_id, discovered=len(night.entered))
    # Of a few slides a large share may well be bad; of many it means that something else is.
    largest_share = night.plan.max_quarantined_share if counts.discovered >= ENOUGH_FOR_A_SHARE else 1.0
    if all_may_fail:
        largest_share = 1.0
    result = _gate(
        night,
        "night",
        night_frame(night.warehouse, night.run_id),
        parameters={"least_discovered": least_discovered, "largest_quarantined_share": largest_share},
    )
    night.gates().build_docs()
    if not result.success:
        raise NightFailed(f"The night did not pass its gate: {result.detail}. Nothing was published.")


def _gate(
    night: Night,
    gate: str,
    frame: pd.DataFrame,
    *,
    slide_id: str | None = None,
    parameters: Mapping[str, object] | None = None,
) -> GateResult:
    result = night.gates().validate(gate, frame, run_id=night.run_id, slide_id=slide_id, parameters=parameters)
    store_results(night.warehouse, [result])
    return result
