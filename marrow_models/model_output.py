"""What networks may return for the cells of a slide. A broken model is found here, before its cells are believed."""

from __future__ import annotations

import numpy as np

from marrow_models.errors import Reason, SlideRefused
from marrow_models.records import CellTable

ENOUGH_CELLS = 20
"""Cells from which on it cannot be chance that all look the same to the classifier."""
TOLERANCE = 1e-3
"""How far probabilities may be from 1 in sum by the rounding of float32."""


def check_output(cells: CellTable) -> None:
    """Raise SlideRefused(MODEL_OUTPUT) unless scores and probabilities can be those of a working model.

    They are finite; probabilities lie in 0 to 1 and sum to 1; some cell is rather of one class than of another; and not
    all cells have the very same probabilities, as they do when weights are zero or an activation is saturated: the
    first class would be counted everywhere.
    """
    probabilities = np.asarray(cells.probabilities, np.float64)
    if not (np.isfinite(probabilities).all() and np.isfinite(cells.detection_score).all()):
        raise SlideRefused(Reason.MODEL_OUTPUT, "values that are not finite")
    if not len(cells):
        return
    outside = (probabilities < -TOLERANCE) | (probabilities > 1 + TOLERANCE)
    if outside.any() or (abs(probabilities.sum(axis=1) - 1) > TOLERANCE).any():
        raise SlideRefused(Reason.MODEL_OUTPUT, "values that are no probabilities")
    if len(cells.labels) > 1 and not np.ptp(probabilities, axis=1).any():
        raise SlideRefused(Reason.MODEL_OUTPUT, "the classifier finds every class as probable as any other")
    if len(cells) >= ENOUGH_CELLS and (probabilities == probabilities[0]).all():
        raise SlideRefused(Reason.MODEL_OUTPUT, f"the same probabilities for all {len(cells)} cells")
