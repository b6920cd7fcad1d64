"""How well objects are found: the figures of COCO, by pycocotools, with intervals by patient or picture.

Average precision is the mean, over 101 recalls, of the best precision at that recall or a higher one; a box is right
from an intersection over union of 0.5 (AP50), 0.75 (AP75) or at 0.50, 0.55 ... 0.95 in turn and averaged (AP50:95).
Means are over the kinds that are in the truth.

COCO counts at most 100 boxes of a kind in a picture (maxDets); a blood field holds more red cells than that, so 300 is
the default here, as in the trainings whose published figures we compare with. Where fewer boxes are found both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from marrow_models.errors import UserError
from marrow_models.evaluation.classes import CURVE, Curve
from marrow_models.evaluation.coco import RECALLS, Judged, Matches, average_precision, judge
from marrow_models.evaluation.confusions import filled, mean_over
from marrow_models.evaluation.inputs import checked_names
from marrow_models.evaluation.resampling import RESAMPLES, Estimate, Sampling, grouped, with_intervals

MAX_PER_PICTURE = 300
_AT_50, _AT_75 = 0, 5
_SUMMARIES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "ap50": lambda precisions: precisions[_AT_50],
    "ap50_95": lambda precisions: np.asarray(precisions.mean(axis=0)),
    "ap75": lambda precisions: precisions[_AT_75],
}
"""Name of a figure to how it comes from the precisions at the ten overlaps."""
_NEARLY = 0.005
"""Of F1."""


@dataclass(frozen=True, slots=True)
class BoxTruth:
    """What is marked in a picture. Boxes are left, top, right, bottom in pixels."""

    boxes: NDArray[np.float64]
    """(N, 4)"""
    kinds: NDArray[np.int64]
    """(N,) places in the kinds that are asked for."""
    ignored: NDArray[np.float64]
    """(L, 4) parts in which a box neither counts nor is held against the detector, of whatever kind."""


@dataclass(frozen=True, slots=True)
class BoxGuess:
    """What a detector says of a picture. Boxes are left, top, right, bottom in pixels."""

    boxes: NDArray[np.float64]
    """(M, 4)"""
    kinds: NDArray[np.int64]
    """(M,)"""
    scores: NDArray[np.float64]
    """(M,) larger is surer."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Precision and recall at an overlap of 0.5 where their harmonic mean, F1, is largest. NaN: none is marked."""

    precision: float
    recall: float
    f1: float
    score: float
    """Boxes count from this score; NaN where nothing is right."""
    steady: float = np.nan
    """The middle of the scores with nearly this F1: on other pictures a safer choice than the very best."""


@dataclass(frozen=True, slots=True)
class KindRow:
    """Figures of one kind; NaN where the truth has none of it."""

    kind: str
    boxes: int
    """True boxes."""
    ap50: Estimate
    ap50_95: Estimate
    ap75: Estimate
    recall: float
    """Average recall: of all given boxes, averaged over the overlaps 0.50 to 0.95."""
    best: Balance
    curve: Curve = field(metadata=CURVE)
    """Recall (101,) against precision at an overlap of 0.5, as COCO smooths it."""


@dataclass(frozen=True, slots=True)
class BoxFigures:
    """Figures of a detector on a set of pictures."""

    pictures: int
    boxes: int
    """True boxes."""
    max_per_picture: int
    """Most boxes of a kind that count in a picture."""
    sampling: Sampling
    ap50: Estimate
    ap50_95: Estimate
    ap75: Estimate
    recall: float
    """Average recall, mean over the kinds."""
    kinds: tuple[KindRow, ...]
    """In the order that was asked for."""


def box_figures(
    truths: Sequence[BoxTruth],
    guesses: Sequence[BoxGuess],
    kinds: Sequence[str],
    *,
    max_per_picture: int = MAX_PER_PICTURE,
    groups: Sequence[str | None] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> BoxFigures:
    """Judge what was found in each picture against what is marked there.

    ``groups`` are the patients of the pictures; pictures without one are drawn alone. Intervals draw pictures again
    with the boxes as they were matched once. UserError when the arrays do not fit or nothing is marked.
    """
    names = checked_names(kinds, "kinds", fewest=1)
    _check(truths, guesses, names, max_per_picture)
    drawn = grouped(groups, len(truths), "picture")
    judged = judge(truths, guesses, len(names), max_per_picture)
    precisions = judged.precision.mean(axis=1)
    figures = with_intervals(
        {name: float(values) for name, values in _named(precisions, precisions).items()},
        lambda draws: _drawn(judged, draws[:, drawn.index]),
        drawn,
        width=len(truths),
        seed=seed,
        resamples=resamples,
    )
    rows = tuple(_row(name, judged, k, figures) for k, name in enumerate(names))
    return BoxFigures(
        len(truths),
        sum(row.boxes for row in rows),
        max_per_picture,
        Sampling(drawn.unit, drawn.count, resamples, seed),
        figures["ap50"],
        figures["ap50_95"],
        figures["ap75"],
        recall=float(np.nanmean(judged.recall)),
        kinds=rows,
    )


def best_balance(matches: Matches) -> Balance:
    """Return where F1 at an overlap of 0.5 is largest; of equals the highest score."""
    right, counted = matches.right[_AT_50], matches.counted[_AT_50]
    marked = matches.marked.sum()
    # A score takes all boxes that share it: only the last of them is a place to cut.
    cuts = np.flatnonzero(np.append(matches.scores[1:] != matches.scores[:-1], True)) if len(right) else right
    hits, boxes = np.cumsum(right)[cuts], np.cumsum(counted)[cuts]
    if not right.any():
        none = 0.0 if marked else np.nan
        return Balance(none, none, none, np.nan)
    f1 = 2 * hits / (boxes + marked)
    best = int(f1.argmax())
    return Balance(
        float(hits[best] / boxes[best]),
        float(hits[best] / marked),
        float(f1[best]),
        float(matches.scores[cuts[best]]),
        _middle(matches.scores[cuts], f1 >= f1[best] - _NEARLY, best),
    )


def _middle(scores: NDArray[np.float64], good: NDArray[np.bool_], best: int) -> float:
    """The middle of the scores around place ``best`` that are ``good`` without a break."""
    bad = np.flatnonzero(~good)
    after, before = bad[bad > best], bad[bad < best]
    first = int(before[-1]) + 1 if len(before) else 0
    last = int(after[0]) - 1 if len(after) else len(scores) - 1
    return float(scores[first] + scores[last]) / 2


def _row(kind: str, judged: Judged, place: int, figures: Mapping[str, Estimate]) -> KindRow:
    return KindRow(
        kind,
        int(judged.matches[place].marked.sum()),
        figures[f"ap50 {place}"],
        figures[f"ap50_95 {place}"],
        figures[f"ap75 {place}"],
        recall=float(judged.recall[:, place].mean()),
        best=best_balance(judged.matches[place]),
        curve=Curve(RECALLS, judged.precision[_AT_50, :, place]),
    )


def _drawn(judged: Judged, pictures: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The figures (B,) of draws (B, P) of the pictures."""
    each = [average_precision(matches, pictures) for matches in judged.matches]
    return _named(np.stack(each, axis=-1), judged.precision.mean(axis=1))


def _named(precisions: NDArray[np.float64], usual: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Average precisions (10, ..., K) by overlap and kind as figures (...), those of the kind k with its number.

    In the means over the kinds, one that a draw lacks keeps its ``usual`` (10, K) figure.
    """
    named: dict[str, NDArray[np.float64]] = {}
    for name, summary in _SUMMARIES.items():
        values, of_all = summary(precisions), summary(usual)
        named[name] = mean_over(filled(values, of_all), np.isfinite(of_all))
        named |= {f"{name} {kind}": values[..., kind] for kind in range(values.shape[-1])}
    return named


def _check(truths: Sequence[BoxTruth], guesses: Sequence[BoxGuess], kinds: Sequence[str], most: int) -> None:
    if len(truths) != len(guesses):
        raise UserError(f"boxes: {len(guesses)} pictures were searched, expected {len(truths)}: one for each truth.")
    if most < 1:
        raise UserError(f"boxes: at most {most} boxes in a picture; expected 1 or more.")
    for place, (truth, guess) in enumerate(zip(truths, guesses, strict=True)):
        for boxes, what in ((truth.boxes, "true"), (guess.boxes, "given"), (truth.ignored, "ignored")):
            _check_boxes(np.asarray(boxes), f"boxes of picture {place}, {what}")
        for of_kind, boxes in ((truth.kinds, truth.boxes), (guess.kinds, guess.boxes)):
            if len(of_kind) != len(boxes) or (len(boxes) and not 0 <= min(of_kind) <= max(of_kind) < len(kinds)):
                raise UserError(
                    f"boxes of picture {place}: {len(of_kind)} kinds for {len(boxes)} boxes, expected one for each, "
                    f"a place in {', '.join(kinds)[:200]}."
                )
        if guess.scores.shape != (len(guess.boxes),) or not np.isfinite(guess.scores).all():
            raise UserError(
                f"boxes of picture {place}: expected one finite score for each of {len(guess.boxes)} boxes."
            )
    if not any(len(truth.boxes) for truth in truths):
        raise UserError(f"boxes: nothing is marked in {len(truths)} pictures; there is nothing to judge.")


def _check_boxes(boxes: NDArray[np.float64], where: str) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise UserError(f"{where}: shape {boxes.shape}, expected (N, 4): left, top, right, bottom in pixels.")
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise UserError(f"{where}: a box without width or height, or not a number. Leave it out.")
