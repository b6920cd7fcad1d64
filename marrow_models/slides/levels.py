"""The geometry of a source pyramid."""

from __future__ import annotations

from marrow_models.records import LevelInfo


def downsample_of(base: tuple[int, int], level: tuple[int, int]) -> float:
    """Level-0 pixels a pixel of ``level`` spans, from (width, height) of both.

    Writers drop or add the odd last row, so that the plain ratio of the sizes is a little off: where one whole
    number explains both sizes, it is the truth.
    """
    ratio = (base[0] / level[0] + base[1] / level[1]) / 2
    whole = round(ratio)
    fits = all(abs(b / whole - s) < 1 for b, s in zip(base, level, strict=True)) if whole else False
    return float(whole) if fits else ratio


def level_infos(sizes: list[tuple[int, int]]) -> tuple[LevelInfo, ...]:
    """Describe levels from their (width, height) in px, the largest first."""
    return tuple(LevelInfo(width, height, downsample_of(sizes[0], (width, height))) for width, height in sizes)
