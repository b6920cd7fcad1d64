"""Writing the levels of a store: tiles of the source copied or re-coded, missing levels averaged."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrow_models.errors import Reason, SlideRefused
from marrow_models.pyramid.chunks import LevelReader
from marrow_models.pyramid.in_order import in_order
from marrow_models.pyramid.layout import LevelLayout
from marrow_models.pyramid.made import Branch, Tree
from marrow_models.pyramid.missing import PRESENT, new_grid
from marrow_models.pyramid.plan import LevelPlan
from marrow_models.pyramid.shards import FileRecord, LevelWriter
from marrow_models.pyramid.source_tiles import Fetch, SourceTile, source_tiles, stored_tiles
from marrow_models.slides.reader import SlideReader, TileSizeMismatch, TileUnreadable


@dataclass(slots=True)
class Damage:
    """Tiles that did not decode, against what is allowed for the slide as a whole."""

    total: int
    """Tiles of all levels of the source."""
    allowed: float
    """Fraction of them that may be lost."""
    lost: int = 0
    mismatched: int = 0
    """Of the lost ones, those whose own header claims another size than the slide gives them."""
    decoded: int = 0

    def add(self, why: TileUnreadable) -> None:
        """Count one lost tile.

        Raises
        ------
        SlideRefused
            As soon as no later tile could make it good: TILE_SIZE_MISMATCH where most of the lost tiles are of a
            size of their own, which is no accident of a disk, else TILE_ERRORS.
        """
        self.lost += 1
        self.mismatched += isinstance(why, TileSizeMismatch)
        if self.lost > self.allowed * self.total:
            raise self._refusal(f"at least {self.lost} of {self.total} tiles do not decode")

    def check(self) -> None:
        """Refuse a slide of which nothing is left.

        Raises
        ------
        SlideRefused
            TILE_ERRORS or TILE_SIZE_MISMATCH.
        """
        if self.decoded == 0:
            raise self._refusal("no tile holds any pixel")

    def _refusal(self, detail: str) -> SlideRefused:
        systematic = 2 * self.mismatched > self.lost
        return SlideRefused(Reason.TILE_SIZE_MISMATCH if systematic else Reason.TILE_ERRORS, detail)


@dataclass(slots=True)
class WrittenLevel:
    """What came of one level."""

    layout: LevelLayout
    grid: NDArray[np.uint8]
    """State of every tile, shape (rows, columns); see :mod:`marrow_models.pyramid.missing`."""
    records: dict[str, FileRecord] = field(default_factory=dict)


def write_levels(
    reader: SlideReader, plan: LevelPlan, made: Sequence[LevelLayout], store: Path, number: int, damage: Damage
) -> list[WrittenLevel]:
    """Write a level of the source as level ``number`` of the store, and the ``made`` levels below it.

    Those are averages of 2 x 2 pixels, again and again: of averages, not of re-coded JPEG. The tree of tiles is walked
    depth first, so that each source tile is read and decoded once and memory is a few tiles a level. Tiles that are
    only copied are not decoded; each is proven to be decodable.

    Raises
    ------
    SlideRefused
        TILE_ERRORS or TILE_SIZE_MISMATCH where too many tiles do not decode.
    """
    if made and reader.tile_size(plan.source or 0) is not None:
        return _write_tree(source_tiles(reader, plan, pixels=True), plan.layout, made, store, number, damage)
    # Strips reach across the slide: to come back to them for every branch of the tree would decode them again.
    top = _write_rows(source_tiles(reader, plan, pixels=False), plan, store, number, damage)
    if not made:
        return [top]
    again = stored_tiles(LevelReader(store, number, plan.layout))
    return [top, *_write_tree(again, plan.layout, made, store, number, None)[1:]]


def _write_rows(fetch: Fetch, plan: LevelPlan, store: Path, number: int, damage: Damage) -> WrittenLevel:
    """Write a level of the source in rows, as most scanners do."""
    layout = plan.layout
    written = WrittenLevel(layout, new_grid(layout))
    places = itertools.product(range(layout.rows), range(layout.columns))
    with LevelWriter(store, number, layout) as writer:
        if plan.copied:  # as fast as the disk: threads would only cost
            for place in places:
                _take(fetch(*place), written, writer, damage)
        else:
            with closing(in_order(lambda place: fetch(*place)._replace(pixels=None), places)) as tiles:
                for tile in tiles:
                    _take(tile, written, writer, damage)
    written.records = writer.records
    return written


def _write_tree(
    fetch: Fetch, source: LevelLayout, made: Sequence[LevelLayout], store: Path, number: int, damage: Damage | None
) -> list[WrittenLevel]:
    """Write made levels and the level they come from; without ``damage`` to count, that one is in the store already."""
    layouts = [source, *made]
    written = [WrittenLevel(layout, new_grid(layout)) for layout in layouts]
    writers = [LevelWriter(store, number + step, layout) for step, layout in enumerate(layouts)]
    tree = Tree(fetch, layouts)

    def take(branch: Branch) -> None:
        if damage is not None:
            for tile in branch.sources:
                _take(tile, written[0], writers[0], damage)
        for step, row, column, data in branch.made:
            writers[step].put(row, column, data)

    with ExitStack() as stack:
        for writer in writers if damage is not None else writers[1:]:
            stack.enter_context(writer)
        tree.crown(stack.enter_context(closing(in_order(tree.branch, tree.roots()))), take)
    for level, writer in zip(written, writers, strict=True):
        level.records = writer.records
    return written


def _take(tile: SourceTile, written: WrittenLevel, writer: LevelWriter, damage: Damage) -> None:
    """Write a tile of the source and keep what became of it."""
    if tile.lost is not None:
        damage.add(tile.lost)
    if tile.state == PRESENT:
        damage.decoded += 1
    else:
        written.grid[tile.row, tile.column] = tile.state
    writer.put(tile.row, tile.column, tile.data)
