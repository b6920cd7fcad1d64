"""Pictures of figures, for two classes or fifty. Drawn without a screen and without pyplot's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from marrow_models.evaluation.boxes import BoxFigures
from marrow_models.evaluation.classes import CALIBRATION_BINS, ClassFigures, Curve

_DPI = 120
_GREY = "0.75"
_COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")
"""Matplotlib's, without its grey."""
MOST_COLOURED = len(_COLOURS)
"""So many lines can be told apart by colour: the worst ones; all others are grey."""
_BLUE = "#1f5a94"
_PERCENT_FROM = 0.01
_NEARLY_PERFECT = 0.97
"""Mean area from which all that matters is in the upper left corner, which is then drawn large."""


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """How a training went. Values (S,) at the same steps; NaN where one was not taken."""

    steps: Sequence[int]
    losses: Mapping[str, Sequence[float]]
    figures: Mapping[str, Sequence[float]]
    """Of the validation data: larger is better."""


def save(figure: Figure, path: Path) -> None:
    """Write a PNG that holds no date and no version, so that the same figures give the same file."""
    figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})


def confusion_plot(figures: ClassFigures) -> Figure:
    """Share of each true class (row) that was given each class (column), in percent; classes without cells left out.

    Few classes show counts as well; from 1 % a share is written.
    """
    counts = figures.confusion
    shown = np.flatnonzero(counts.sum(axis=1) + counts.sum(axis=0))
    counts = counts[np.ix_(shown, shown)]
    size = len(shown)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(5.0, 0.62 * size if size <= 15 else 0.36 * size)
    figure = Figure(figsize=(side + 2.2, side + 1.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [figures.labels[k] for k in shown]
    axes.set_xticks(range(size), names, rotation=90)
    axes.set_yticks(range(size), [f"{name} ({n})" for name, n in zip(names, counts.sum(axis=1), strict=True)])
    axes.set_xlabel("given class")
    axes.set_ylabel("true class (cells)")
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.92", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    for row, column in zip(*np.nonzero(shares >= _PERCENT_FROM), strict=True):
        share = shares[row, column]
        text = f"{100 * share:.0f}" + (f"\n{counts[row, column]}" if size <= 15 else "")
        colour = "white" if share > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8 if size <= 15 else 6.5)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.6, pad=0.02)
    axes.set_title("Percent of the true class" + (", and cells" if size <= 15 else ""))
    return figure


def precision_recall_plot(figures: BoxFigures) -> Figure:
    """Precision against recall of each kind at an overlap of 0.5."""
    lines = [(row.kind, row.ap50.value, row.curve) for row in figures.kinds if np.isfinite(row.ap50.value)]
    figure, axes = _square()
    mean = Curve(lines[0][2].x, np.mean([curve.y for _, _, curve in lines], axis=0))
    _lines(axes, lines, mean, f"mean  {figures.ap50.value:.3f}", "AP50")
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_title("Precision and recall at an overlap of 0.5")
    return figure


def roc_plot(figures: ClassFigures) -> Figure:
    """True against false positive rate of each class against the rest."""
    lines = [
        (row.label, row.auc.value, curve)
        for row, curve in zip(figures.classes, figures.roc, strict=True)
        if curve is not None
    ]
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color="0.5", linewidth=0.8, linestyle=":")
    grid = np.linspace(0, 1, 501)
    mean = None
    if lines:
        mean = Curve(grid, np.mean([np.interp(grid, curve.x, curve.y) for _, _, curve in lines], axis=0))
    _lines(axes, lines, mean, f"mean  {figures.auc.value:.3f}", "AUC")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.set_title("Each class against the rest")
    if figures.auc.value > _NEARLY_PERFECT:
        corner = axes.inset_axes((0.36, 0.1, 0.58, 0.58), xlim=(-0.001, 0.1), ylim=(0.8, 1.003))
        corner.grid(color="0.92")
        _draw(corner, lines, mean, "")
        axes.indicate_inset_zoom(corner, edgecolor="0.5")
    return figure


def reliability_plot(figures: ClassFigures) -> Figure:
    """How often the given class is right at each confidence, and how many cells have that confidence."""
    bins = figures.reliability
    figure = Figure(figsize=(5.5, 6.2), layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    width = 1 / CALIBRATION_BINS
    middle = (np.arange(CALIBRATION_BINS) + 0.5) * width
    there = bins.cells > 0
    axes.plot([0, 1], [0, 1], color="0.5", linewidth=0.8, linestyle=":", label="confidence = share that is right")
    axes.bar(middle[there], bins.accuracy[there], width * 0.94, color=_BLUE, alpha=0.35)
    axes.plot(bins.confidence[there], bins.accuracy[there], "o-", color=_BLUE, markersize=4, label="given class")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("share that is right")
    axes.legend(loc="upper left", frameon=False)
    axes.set_title(f"Reliability: expected calibration error {figures.calibration_error:.3f}")
    below.bar(middle, 100 * bins.cells / figures.cells, width * 0.94, color=_BLUE)
    below.set_ylabel(f"% of {figures.sampling.unit if figures.sampling.unit == 'patient' else 'cell'}s")
    below.set_xlabel("confidence of the given class")
    below.set_xlim(0, 1)
    return figure


def training_plot(curve: TrainingCurve) -> Figure:
    """Losses over the steps of the training and, below, the figures of the validation data; a dot at the best."""
    taken = {name: values for name, values in curve.figures.items() if np.isfinite(values).any()}
    panels = [("loss", curve.losses)] + ([("validation", taken)] if taken else [])
    figure = Figure(figsize=(7.5, 3.2 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    steps = np.asarray(curve.steps, np.float64)
    for axes, (title, lines) in zip(all_axes, panels, strict=True):
        for place, (name, values) in enumerate(lines.items()):
            y = np.asarray(values, np.float64)
            there = np.isfinite(y)
            colour = _COLOURS[place % MOST_COLOURED]
            axes.plot(steps[there], y[there], color=colour, linewidth=1.4, label=name)
            if title != "loss":
                best = int(np.nanargmax(y))
                axes.plot(steps[best], y[best], "o", color=colour, label=f"best {y[best]:.4f} at {curve.steps[best]}")
        axes.set_ylabel(title)
        axes.grid(color="0.92")
        axes.legend(frameon=False, fontsize=8)
    positive = [value for values in curve.losses.values() for value in values if np.isfinite(value)]
    if positive and min(positive) > 0 and max(positive) > 20 * min(positive):
        all_axes[0].set_yscale("log")
    all_axes[-1].set_xlabel("step")
    return figure


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9.8, 5.6), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    axes = figure.subplots()
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    axes.grid(color="0.92")
    return figure, axes


def _lines(
    axes: Axes, lines: Sequence[tuple[str, float, Curve]], mean: Curve | None, mean_name: str, what: str
) -> None:
    """Draw the lines with a legend beside them."""
    _draw(axes, lines, mean, mean_name)
    if lines:
        title = f"{what}, worst first" + (f" ({MOST_COLOURED} of {len(lines)})" if len(lines) > MOST_COLOURED else "")
        figure = axes.get_figure()
        assert isinstance(figure, Figure)
        figure.legend(loc="outside right center", frameon=False, fontsize=8, title=title)


def _draw(axes: Axes, lines: Sequence[tuple[str, float, Curve]], mean: Curve | None, mean_name: str) -> None:
    """Draw (name, figure, curve): the worst in colour, the others in grey below them, their mean in black."""
    ranked = sorted(lines, key=lambda line: line[1])
    coloured, others = ranked[:MOST_COLOURED], ranked[MOST_COLOURED:]
    for place, (name, value, curve) in enumerate(coloured):
        axes.plot(
            curve.x,
            curve.y,
            color=_COLOURS[place % MOST_COLOURED],
            linewidth=1.3,
            label=f"{name}  {value:.3f}",
            zorder=3,
        )
    for place, (_, _, curve) in enumerate(others):
        more = f"{len(others)} others, from {others[0][1]:.3f}" if not place else None
        axes.plot(curve.x, curve.y, color=_GREY, linewidth=0.8, label=more, zorder=2)
    if mean is not None:
        axes.plot(mean.x, mean.y, color="black", linewidth=2.2, label=mean_name, zorder=4)
