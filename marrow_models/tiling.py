"""Tiles: how a field is cut for a network, so that no cut can be seen in the result.

All rectangles are on the lattice of one scale (um per pixel) of the slide, with the slide's corner as origin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from marrow_models.records import Rect

LEAST_TILE_PX = 128
"""Below this a tile is nearly all halo."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A piece of a region. Each object belongs to the tile whose ``core`` holds its centre."""

    core: Rect
    read: Rect
    """What has to be read for it: the core with its halo, on multiples of the network's stride."""


def tiles_of(region: Rect, tile_px: int, *, halo_px: int, stride_px: int, shift_px: int = 0) -> Iterator[Tile]:
    """Cut ``region`` into cores of at most ``tile_px``, each with what a network has to see of its surroundings.

    ``shift_px`` moves the grid: the first row and column of tiles are that much smaller. It changes no result.
    """
    for y, height in _cuts(region.y, region.height, tile_px, shift_px):
        for x, width in _cuts(region.x, region.width, tile_px, shift_px):
            core = Rect(x, y, width, height)
            yield Tile(core, snapped(core.expanded(halo_px), stride_px))


def snapped(rect: Rect, stride_px: int) -> Rect:
    """The smallest rectangle around ``rect`` whose edges are multiples of ``stride_px``."""
    x, y = rect.x // stride_px * stride_px, rect.y // stride_px * stride_px
    right, bottom = -(-rect.right // stride_px) * stride_px, -(-rect.bottom // stride_px) * stride_px
    return Rect(x, y, right - x, bottom - y)


def _cuts(start: int, length: int, tile_px: int, shift_px: int) -> Iterator[tuple[int, int]]:
    if tile_px < 1 or not 0 <= shift_px < tile_px:
        raise ValueError(f"a tile of {tile_px} px cannot be shifted by {shift_px} px")
    end = start + length
    position, step = start, tile_px - shift_px
    while position < end:
        step = min(step, end - position)
        yield position, step
        position, step = position + step, tile_px
