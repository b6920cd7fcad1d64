"""From a source slide to its store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from marrow_models.pyramid.layout import FORMAT_VERSION, LevelLayout, group_document
from marrow_models.pyramid.levels import Damage, WrittenLevel, write_levels
from marrow_models.pyramid.manifest import (
    always,
    answers,
    complete,
    partial_store,
    read_manifest,
    store_errors,
    write_document,
    write_manifest,
)
from marrow_models.pyramid.missing import UNDECODABLE, UNSCANNED, missing_areas, missing_pixels
from marrow_models.pyramid.plan import LevelPlan, Profile, plan_levels
from marrow_models.pyramid.shards import FileRecord
from marrow_models.slides.identity import Expected, check_source, stamps
from marrow_models.slides.open import open_slide
from marrow_models.slides.pixel_size import resolve
from marrow_models.slides.reader import SlideReader

MAX_LOST_FRACTION = 0.01
"""Tiles that may fail to decode before the slide is refused; what is lost is recorded, never counted as glass."""


@dataclass(frozen=True, slots=True)
class StoreReceipt:
    """What an ingest made; small enough to travel and to be kept in the ledger."""

    width_px: int
    height_px: int
    um_per_px: float
    levels: int
    format: str
    copied_tiles: int
    """JPEG tiles that went over as they are, all levels."""
    recoded_tiles: int
    """Tiles of the source that were decoded and coded anew, all levels; those of made levels are not counted."""
    missing_tiles: int
    """Tiles of the source that do not decode, all levels."""
    missing_px: int
    """Pixels of level 0 in such tiles."""
    unscanned_px: int
    """Pixels of level 0 that the scanner left out: no damage."""
    size_bytes: int
    """All files of the store."""


def ingest_slide(
    path: Path,
    members: Sequence[Path],
    store: Path,
    *,
    um_per_px: float | None,
    profile: Profile = "copy",
    max_lost: float = MAX_LOST_FRACTION,
    expected: Expected | None = None,
    opened: Callable[[], None] | None = None,
    may_appear: Callable[[], None] = always,
) -> StoreReceipt:
    """Write the slide whose main file is ``path`` to ``store``, whole or not at all.

    Idempotent: a complete store made from a source of this size by the same arguments is left as it is.
    Give each content its own ``store`` (its name should come from the content digest).

    Parameters
    ----------
    um_per_px
        Micrometres per pixel of level 0, to be taken instead of what the file states; None to believe the file.
    profile
        ``copy`` keeps the source's JPEG tiles; ``portable`` writes zstd chunks for any OME-Zarr viewer.
    max_lost
        Fraction of the source's tiles that may fail to decode.
    expected
        Whose bytes these must be; None to ingest whatever is there.
    opened
        Called once, when the slide is open and its pixels come next.
    may_appear
        Asked just before the finished store takes its place; raises to prevent that.

    Raises
    ------
    SlideRefused
        With the reason, DISK_FULL where the store cannot be written, SOURCE_CHANGED where the source is not the one
        expected or did not stand still; no store is made then, and what was at ``store`` stays.
    """
    members = tuple(dict.fromkeys((path, *members)))
    before = stamps(members)
    request = {
        "version": FORMAT_VERSION,
        "source_bytes": sum(stamp.size for stamp in before),
        "um_per_px_given": um_per_px,
        "profile": profile,
        "max_lost": max_lost,
    }
    if answers(store, request):
        return StoreReceipt(**read_manifest(store)["receipt"])
    with closing(open_slide(path, members)) as reader:
        scale = resolve(reader.stated_um_per_px, um_per_px)
        plans = plan_levels(reader, profile)
        if opened is not None:
            opened()
        with store_errors(), partial_store(store) as partial:
            receipt = _write_store(reader, plans, partial, scale, max_lost, request)
            check_source(path, members, reader.info.format, before, expected)
            complete(partial, store, may_appear=may_appear)
    return receipt


def _write_store(
    reader: SlideReader,
    plans: list[LevelPlan],
    partial: Path,
    um_per_px: float,
    max_lost: float,
    request: dict[str, Any],
) -> StoreReceipt:
    total = sum(plan.layout.rows * plan.layout.columns for plan in plans if plan.source is not None)
    damage = Damage(total, max_lost)
    written = _write_levels(reader, plans, partial, damage)
    damage.check()
    files = {key: record for level in written for key, record in level.records.items()}
    files |= _write_metadata(reader, plans, written, partial, um_per_px)
    receipt = _receipt(reader, plans, written, um_per_px, files)
    write_manifest(partial, files, {"request": request, "receipt": asdict(receipt)})
    return receipt


def _write_levels(reader: SlideReader, plans: list[LevelPlan], partial: Path, damage: Damage) -> list[WrittenLevel]:
    written: list[WrittenLevel] = []
    for number, plan in enumerate(plans):
        if plan.source is None:
            continue
        made: list[LevelLayout] = []
        for below in plans[number + 1 :]:
            if below.source is not None:
                break
            made.append(below.layout)
        written += write_levels(reader, plan, made, partial, number, damage)
    return written


def _write_metadata(
    reader: SlideReader, plans: list[LevelPlan], written: list[WrittenLevel], partial: Path, um_per_px: float
) -> dict[str, FileRecord]:
    layouts = [plan.layout for plan in plans]
    missing = [
        [number, area.rect_px.x, area.rect_px.y, area.rect_px.width, area.rect_px.height, area.cause]
        for number, level in enumerate(written)
        for area in missing_areas(level.grid, level.layout, layouts[0])
    ]
    marrow = {
        "version": FORMAT_VERSION,
        "format": reader.info.format,
        "um_per_px": um_per_px,
        "objective_power": reader.info.objective_power,
        "downsamples": [layout.downsample for layout in layouts],
        "origins": ["made" if p.source is None else "copied" if p.copied else "recoded" for p in plans],
        "missing_columns": ["level", "x_px", "y_px", "width_px", "height_px", "cause"],
        "missing": missing,
    }
    files = {
        f"{number}/zarr.json": write_document(partial / str(number) / "zarr.json", layout.array_document())
        for number, layout in enumerate(layouts)
    }
    files["zarr.json"] = write_document(partial / "zarr.json", group_document(layouts, um_per_px, marrow))
    return files


def _receipt(
    reader: SlideReader,
    plans: list[LevelPlan],
    written: list[WrittenLevel],
    um_per_px: float,
    files: dict[str, FileRecord],
) -> StoreReceipt:
    present = [int((level.grid == 0).sum()) for level in written]
    base = written[0]
    return StoreReceipt(
        width_px=reader.info.width_px,
        height_px=reader.info.height_px,
        um_per_px=um_per_px,
        levels=len(plans),
        format=reader.info.format,
        copied_tiles=sum(n for n, plan in zip(present, plans, strict=True) if plan.copied),
        recoded_tiles=sum(
            n for n, plan in zip(present, plans, strict=True) if plan.source is not None and not plan.copied
        ),
        missing_tiles=sum(int((level.grid == UNDECODABLE).sum()) for level in written),
        missing_px=missing_pixels(base.grid, base.layout, UNDECODABLE),
        unscanned_px=missing_pixels(base.grid, base.layout, UNSCANNED),
        size_bytes=sum(record.bytes for record in files.values()),
    )
