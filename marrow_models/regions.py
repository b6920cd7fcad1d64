"""Which fields are looked at together: neighbours share what a network has to see around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from marrow_models.records import Field, Rect
from marrow_models.tiling import Cut

MOST_JOINED_ONE_BY_ONE = 64
"""Of more fields, all are looked at together or each alone: to try all pairs would take longer than it saves."""


@dataclass(frozen=True, slots=True)
class Region:
    """What is looked at as one, and the fields whose cells are wanted from it."""

    rect_px: Rect
    """Level-0 px; may hold fields that are not wanted."""
    fields: tuple[Field, ...]


def regions_of(fields: Sequence[Field], cut: Cut) -> list[Region]:
    """``fields`` in regions so that few pixels are looked at; each field is in one. Changes no cell.

    ``cut`` is how a region is cut into tiles, in pixels of level 0 as the fields are. The two regions whose union saves
    most are joined, until none saves anything.
    """
    regions = [Region(field.rect_px, (field,)) for field in fields]
    if len(regions) < 2:
        return regions
    alone = sum(_seen_px(region.rect_px, cut) for region in regions)
    whole = _union(regions)
    if _seen_px(whole.rect_px, cut) <= alone and _filled(whole):
        return [whole]
    if len(regions) <= MOST_JOINED_ONE_BY_ONE:
        regions = _joined(regions, cut)
    seen = sum(_seen_px(region.rect_px, cut) for region in regions)
    return [whole] if _seen_px(whole.rect_px, cut) <= seen else regions


def _joined(regions: list[Region], cut: Cut) -> list[Region]:
    """Pair by pair, the best one first."""
    left = dict(enumerate(regions))
    seen = {number: _seen_px(region.rect_px, cut) for number, region in left.items()}
    saved: dict[tuple[int, int], int] = {}

    def consider(a: int, b: int) -> None:
        if _apart_px(left[a].rect_px, left[b].rect_px) > 2 * cut.halo_px:
            return  # what both have to see does not meet: there is hardly ever something to be saved
        joint = _seen_px(_around(left[a].rect_px, left[b].rect_px), cut)
        if joint <= seen[a] + seen[b]:
            saved[a, b] = seen[a] + seen[b] - joint

    for a, b in combinations(left, 2):
        consider(a, b)
    following = len(regions)
    while saved:
        a, b = max(saved, key=lambda pair: (saved[pair], -pair[0], -pair[1]))
        joint = _union([left.pop(a), left.pop(b)])
        saved = {pair: value for pair, value in saved.items() if not {a, b} & set(pair)}
        others = list(left)
        left[following], seen[following] = joint, _seen_px(joint.rect_px, cut)
        for other in others:
            consider(other, following)
        following += 1
    return list(left.values())


def _filled(region: Region) -> bool:
    """Whether nothing but fields is in ``region``."""
    held = sum(field.rect_px.width * field.rect_px.height for field in region.fields)
    return held == region.rect_px.width * region.rect_px.height


def _seen_px(rect: Rect, cut: Cut) -> int:
    return cut.seen_px(rect.width, rect.height)


def _apart_px(a: Rect, b: Rect) -> int:
    """The larger of the gaps between two rectangles across and down; below 0 where they overlap in both."""
    return max(a.x - b.right, b.x - a.right, a.y - b.bottom, b.y - a.bottom)


def _union(regions: Sequence[Region]) -> Region:
    rect = regions[0].rect_px
    for other in regions[1:]:
        rect = _around(rect, other.rect_px)
    return Region(rect, tuple(field for region in regions for field in region.fields))


def _around(a: Rect, b: Rect) -> Rect:
    x, y = min(a.x, b.x), min(a.y, b.y)
    return Rect(x, y, max(a.right, b.right) - x, max(a.bottom, b.bottom) - y)
