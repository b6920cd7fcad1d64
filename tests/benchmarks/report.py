"""Figures as a table, over sizes as a plot, and beside the committed ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.measure import Figure

LEAST_NOISE = 0.15
"""A ratio may be so much worse than the committed one, whatever its own spread was."""


def table_of(figures: Sequence[Figure]) -> str:
    """A Markdown table."""
    lines = ["| work | ours | against | ratio | target | |", "|---|---|---|---|---|---|"]
    for figure in figures:
        sign = "<=" if figure.lower_is_better else ">="
        against = figure.against if figure.floor is None else f"{figure.floor:.4g} {figure.unit} ({figure.against})"
        # A figure that is only there to be compared has no target that could be missed.
        mark = "for comparison" if not figure.target else "reached" if figure.reached else "**short**"
        note = f"{mark}; {figure.note}" if figure.note else mark
        lines.append(
            f"| {figure.name} | {figure.ours:.4g} {figure.unit} | {against} "
            f"| {figure.ratio:.3g} (± {figure.spread:.0%}) | {sign} {figure.target:g} | {note} |"
        )
    return "\n".join(lines)


def worse_than_committed(figures: Sequence[Figure], committed: Path, cpu: str) -> list[str]:
    """What is worse than in ``committed`` by more than the noise of both, in words.

    On another kind of CPU only what was measured beside something is compared: seconds alone say nothing there.
    """
    if not committed.exists():
        return []
    content = json.loads(committed.read_text(encoding="utf-8"))
    before = {figure["name"]: figure for figure in content["figures"]}
    worse = []
    for figure in figures:
        old = before.get(figure.name)
        if old is None or not old["ratio"]:  # nothing is a multiple of nought
            continue
        if figure.floor is None and content["machine"]["cpu"] != cpu:
            continue
        noise = max(LEAST_NOISE, figure.spread + old["spread"])
        change = figure.ratio / old["ratio"] - 1
        if (change if figure.lower_is_better else -change) > noise:
            worse.append(
                f"{figure.name}: {figure.ratio:.3g}, committed {old['ratio']:.3g}: worse by {abs(change):.0%}, "
                f"noise {noise:.0%}."
            )
    return worse


def plot_growth(
    path: Path, title: str, sizes: Sequence[float], size_unit: str, curves: Mapping[str, Sequence[float]]
) -> None:
    """Curves over sizes, both axes logarithmic, with a straight line through the first point of each for the eye."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, values in curves.items():
        (line,) = axes.plot(sizes, values, marker="o", label=name)
        straight = [values[0] * size / sizes[0] for size in sizes]
        axes.plot(sizes, straight, linestyle=":", linewidth=1, color=line.get_color())
    axes.set(xscale="log", yscale="log", xlabel=size_unit, title=title)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
