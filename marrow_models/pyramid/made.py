"""Levels that the source lacks: the tree of tiles over the tiles that they are averaged from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from marrow_models.pyramid.codec import JPEG_CODEC, zstd_encode
from marrow_models.pyramid.layout import FILL, LevelLayout
from marrow_models.slides import jpeg

if TYPE_CHECKING:
    from marrow_models.pyramid.source_tiles import Fetch, SourceTile

Place = tuple[int, int]
"""(row, column) of a tile."""
Chunk = tuple[int, int, int, bytes | None]
"""(step below the source, row, column, data) of a tile of a made level."""
_BRANCH_PX = 1024
"""Side of what one thread works on at a time, in pixels of the source: the memory of an ingest is a few of these."""


@dataclass(slots=True)
class Branch:
    """What one part of the tree came to: all of its tiles, in the order in which they are written."""

    sources: list[SourceTile] = field(default_factory=list)
    """Without their pixels."""
    made: list[Chunk] = field(default_factory=list)
    pixels: NDArray[np.uint8] | None = None
    """Of its root; None where nothing is known of it."""


class Tree:
    """Tiles of made levels over those of the level that they come from (step 0), which ``fetch`` gets."""

    def __init__(self, fetch: Fetch, layouts: Sequence[LevelLayout]) -> None:
        self._fetch, self._layouts = fetch, layouts
        self._sizes = [(layout.rows, layout.columns) for layout in layouts]
        side = max(layouts[0].tile_width_px, layouts[0].tile_height_px)
        self._step = min(len(layouts) - 1, max(0, (_BRANCH_PX // side).bit_length() - 1))

    def roots(self) -> Iterator[Place]:
        """Yield the root of each branch, in the order in which :meth:`crown` wants them."""
        last = len(self._layouts) - 1
        for row, column in _by_shards(self._layouts[-1]):
            yield from self._roots_below(last, row, column)

    def branch(self, root: Place) -> Branch:
        """Make all tiles of the branch at ``root``. Safe across threads."""
        found = Branch()
        found.pixels = self._below(self._step, *root, found)
        return found

    def crown(self, branches: Iterator[Branch], take: Callable[[Branch], None]) -> None:
        """Make the tiles above the branches, giving each branch, and what was made above it, to ``take``."""
        for row, column in _by_shards(self._layouts[-1]):
            self._above(len(self._layouts) - 1, row, column, branches, take)

    def _roots_below(self, step: int, row: int, column: int) -> Iterator[Place]:
        if not self._exists(step, row, column):
            return
        if step == self._step:
            yield row, column
            return
        for i, j in _QUARTERS:
            yield from self._roots_below(step - 1, 2 * row + i, 2 * column + j)

    def _above(
        self, step: int, row: int, column: int, branches: Iterator[Branch], take: Callable[[Branch], None]
    ) -> NDArray[np.uint8] | None:
        if not self._exists(step, row, column):
            return None
        if step == self._step:
            branch = next(branches)
            take(branch)
            return branch.pixels
        quarters = [self._above(step - 1, 2 * row + i, 2 * column + j, branches, take) for i, j in _QUARTERS]
        made = Branch()
        pixels = self._made(step, row, column, quarters, made)
        take(made)
        return pixels

    def _below(self, step: int, row: int, column: int, found: Branch) -> NDArray[np.uint8] | None:
        if not self._exists(step, row, column):
            return None
        if step == 0:
            tile = self._fetch(row, column)
            found.sources.append(tile if tile.pixels is None else tile._replace(pixels=None))
            return tile.pixels
        quarters = [self._below(step - 1, 2 * row + i, 2 * column + j, found) for i, j in _QUARTERS]
        return self._made(step, row, column, quarters, found)

    def _made(
        self, step: int, row: int, column: int, quarters: list[NDArray[np.uint8] | None], found: Branch
    ) -> NDArray[np.uint8] | None:
        if all(quarter is None for quarter in quarters):
            found.made.append((step, row, column, None))
            return None
        pixels = self._averaged(step, row, column, quarters)
        found.made.append((step, row, column, encoded(pixels, self._layouts[step])))
        return pixels

    def _averaged(
        self, step: int, row: int, column: int, quarters: list[NDArray[np.uint8] | None]
    ) -> NDArray[np.uint8]:
        above, below = self._layouts[step - 1], self._layouts[step]
        rect = below.tile_rect(row, column)
        out = np.empty((rect.height, rect.width, 3), np.uint8)
        half_width, half_height = above.tile_width_px // 2, above.tile_height_px // 2
        if above.tile_width_px % 2 or above.tile_height_px % 2:  # squares of pixels reach over the edges of tiles
            return halved(self._joined(step, row, column, quarters))
        for (i, j), quarter in zip(_QUARTERS, quarters, strict=True):
            part = out[i * half_height : (i + 1) * half_height, j * half_width : (j + 1) * half_width]
            if quarter is None:
                part[:] = FILL
            elif part.size:
                halve_into(part, quarter)
        return out

    def _joined(self, step: int, row: int, column: int, quarters: list[NDArray[np.uint8] | None]) -> NDArray[np.uint8]:
        above, below = self._layouts[step - 1], self._layouts[step]
        rect = below.tile_rect(row, column)
        x, y = 2 * rect.x, 2 * rect.y
        width, height = min(2 * rect.width, above.width_px - x), min(2 * rect.height, above.height_px - y)
        out = np.full((height, width, 3), FILL, np.uint8)
        for (i, j), quarter in zip(_QUARTERS, quarters, strict=True):
            if quarter is not None:
                top, left = i * above.tile_height_px, j * above.tile_width_px
                out[top : top + quarter.shape[0], left : left + quarter.shape[1]] = quarter
        return out

    def _exists(self, step: int, row: int, column: int) -> bool:
        rows, columns = self._sizes[step]
        return row < rows and column < columns


_QUARTERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average squares of 2 x 2 pixels, rounding half up; an odd last row or column stands for both of its square."""
    out = np.empty((-(-pixels.shape[0] // 2), -(-pixels.shape[1] // 2), 3), np.uint8)
    halve_into(out, pixels)
    return out


def halve_into(out: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
    """Write the halved ``pixels``, of (height, width, 3), to ``out``; see :func:`halved`."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rows = pixels[0::2].astype(np.uint16)
    rows += pixels[1::2]
    rows += 1  # each sum below is of two of these
    for channel in range(3):  # over whole rows of one colour: over pixels numpy would go in steps of three values
        sums = rows[:, 0::2, channel] + rows[:, 1::2, channel]
        np.right_shift(sums, 2, out=out[..., channel], casting="unsafe")


def encoded(pixels: NDArray[np.uint8], layout: LevelLayout) -> bytes | None:
    """Encode the pixels of a tile as ``layout`` says, filled up to a whole tile; None where all are white.

    The filling repeats the edge in JPEG, whose blocks would else bleed it into the picture.
    """
    if _is_white(pixels):
        return None
    height, width = pixels.shape[:2]
    is_jpeg = layout.codec == JPEG_CODEC
    if (height, width) != (layout.tile_height_px, layout.tile_width_px):
        rest = ((0, layout.tile_height_px - height), (0, layout.tile_width_px - width), (0, 0))
        pixels = np.pad(pixels, rest, mode="edge") if is_jpeg else np.pad(pixels, rest, constant_values=FILL)
    return jpeg.encode(pixels) if is_jpeg else zstd_encode(pixels)


def _is_white(pixels: NDArray[np.uint8]) -> bool:
    """Whether all pixels are; most tiles that are not show it in their first row."""
    return bool((pixels[0] == FILL).all() and (pixels == FILL).all())


def _by_shards(layout: LevelLayout) -> Iterator[Place]:
    """Yield (row, column) of all tiles, shard after shard."""
    tiles = layout.shard_tiles
    for top, left in np.ndindex(-(-layout.rows // tiles), -(-layout.columns // tiles)):
        for row in range(top * tiles, min((top + 1) * tiles, layout.rows)):
            for column in range(left * tiles, min((left + 1) * tiles, layout.columns)):
                yield row, column
