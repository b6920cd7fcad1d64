"""Found against true: how well a run counted a phantom, cell by cell and category by category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MATCH_IOU = 0.5
"""Overlap (intersection over union) from which a found box is a true one; that of AP50."""


@dataclass(frozen=True, slots=True)
class Matches:
    """How found boxes stand to true ones on one slide."""

    score: NDArray[np.float32]
    """(N,) detection scores of the found boxes that count for or against the detector, highest first."""
    true: NDArray[np.bool_]
    """(N,) whether each matches a readable cell that no box of a higher score has taken."""
    cells: int
    """Readable true cells."""

    @property
    def recall(self) -> float:
        """Share of the readable cells that were found; 1 where there are none."""
        return float(self.true.sum()) / self.cells if self.cells else 1.0

    @property
    def precision(self) -> float:
        """Share of the found boxes that are cells; 1 where nothing was found."""
        return float(self.true.mean()) if len(self.true) else 1.0


def match_boxes(
    found: NDArray[np.float64], score: NDArray[np.float32], truth: NDArray[np.float64], readable: NDArray[np.bool_]
) -> Matches:
    """Match found boxes (N, 4) to true ones (M, 4), both x0, y0, x1, y1, greedily by score as COCO does.

    A box on a cell that cannot be read (``readable`` (M,) False) counts neither for nor against.
    """
    order = np.argsort(-score, kind="stable")
    overlap = iou(found[order], truth)
    taken = np.zeros(len(truth), bool)
    kept: list[bool] = []
    kept_scores: list[float] = []
    for row, value in zip(overlap, score[order], strict=True):
        free = np.where(taken | ~readable, 0.0, row)
        best = int(free.argmax()) if len(free) else -1
        if best >= 0 and free[best] >= MATCH_IOU:
            taken[best] = True
            kept.append(True)
        elif len(row) and np.where(readable, 0.0, row).max() >= MATCH_IOU:
            continue
        else:
            kept.append(False)
        kept_scores.append(float(value))
    return Matches(np.asarray(kept_scores, np.float32), np.asarray(kept, bool), int(readable.sum()))


def iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of every box of (N, 4) with every box of (M, 4): (N, M)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = (first[:, 2:] - first[:, :2]).prod(axis=1)[:, None] + (second[:, 2:] - second[:, :2]).prod(axis=1)[None]
    return np.asarray(common / np.maximum(areas - common, 1e-12))


def average_precision(matches: Sequence[Matches]) -> float:
    """AP50 over slides, as COCO defines it: precision made monotonic, mean over 101 recall levels."""
    cells = sum(m.cells for m in matches)
    if not cells:
        return float("nan")
    scores = np.concatenate([m.score for m in matches])
    true = np.concatenate([m.true for m in matches])[np.argsort(-scores, kind="stable")]
    hits = true.cumsum()
    recall, precision = hits / cells, hits / np.arange(1, len(true) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(
        np.where(reached < len(envelope), np.append(envelope, 0.0)[np.minimum(reached, len(envelope))], 0.0).mean()
    )


def largest_deviation(found: Mapping[str, float], truth: Mapping[str, float]) -> tuple[str, float]:
    """The category whose percentage is farthest from the truth, and by how many points (signed)."""
    deviations = {category: found.get(category, 0.0) - percent for category, percent in truth.items()}
    worst = max(deviations, key=lambda category: abs(deviations[category]))
    return worst, deviations[worst]
