"""Tiles: how a field is cut for a network, so that no cut can be seen in the result.

All rectangles are on the lattice of one scale (um per pixel) of the slide, with the slide's corner as origin.
"""

from __future__ import annotations

import math
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


@dataclass(frozen=True, slots=True)
class Cut:
    """How large tiles may be, in pixels of one scale."""

    tile_px: int
    """Largest side of a core."""
    halo_px: int
    """What has to be seen around it."""
    most_px: float = math.inf
    """Pixels of a core with its halo, which is what takes memory. Smaller cores than LEAST_TILE_PX are not made."""

    def counts(self, width: int, height: int) -> tuple[int, int]:
        """Columns and rows of tiles of one size that a region is cut into: as few as may be."""
        columns, rows = max(1, -(-width // self.tile_px)), max(1, -(-height // self.tile_px))
        while self._seen_px(width, columns) * self._seen_px(height, rows) > self.most_px:
            across, down = width / columns, height / rows
            if max(across, down) <= LEAST_TILE_PX:
                break
            columns, rows = (columns + 1, rows) if across > down else (columns, rows + 1)
        return columns, rows

    def seen_px(self, width: int, height: int) -> int:
        """Pixels that are looked at for a region: its tiles, each with its halo."""
        columns, rows = self.counts(width, height)
        return (width + 2 * self.halo_px * columns) * (height + 2 * self.halo_px * rows)

    def _seen_px(self, length: int, parts: int) -> int:
        return -(-length // parts) + 2 * self.halo_px


def tiles_of(region: Rect, cut: Cut, *, stride_px: int, shift_px: int = 0) -> Iterator[Tile]:
    """Cut ``region`` into cores, each with what a network has to see of its surroundings.

    Cores are of one size: none is a sliver that is nearly all halo. ``shift_px`` moves the grid: the first row and
    column of tiles are that much smaller. It changes no result.
    """
    if cut.tile_px < 1 or not 0 <= shift_px < cut.tile_px:
        raise ValueError(f"a tile of {cut.tile_px} px cannot be shifted by {shift_px} px")
    columns, rows = cut.counts(region.width, region.height)
    for y, height in _cuts(region.y, region.height, rows, shift_px):
        for x, width in _cuts(region.x, region.width, columns, shift_px):
            core = Rect(x, y, width, height)
            yield Tile(core, snapped(core.expanded(cut.halo_px), stride_px))


def snapped(rect: Rect, stride_px: int) -> Rect:
    """The smallest rectangle around ``rect`` whose edges are multiples of ``stride_px``."""
    x, y = rect.x // stride_px * stride_px, rect.y // stride_px * stride_px
    right, bottom = -(-rect.right // stride_px) * stride_px, -(-rect.bottom // stride_px) * stride_px
    return Rect(x, y, right - x, bottom - y)


def _cuts(start: int, length: int, parts: int, shift_px: int) -> Iterator[tuple[int, int]]:
    end, usual = start + length, max(1, -(-length // parts))
    position, step = start, usual - shift_px % usual
    while position < end:
        step = min(step, end - position)
        yield position, step
        position, step = position + step, usual
