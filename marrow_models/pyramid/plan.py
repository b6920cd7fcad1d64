"""Which levels a store gets, and where the pixels of each come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from marrow_models.errors import UserError
from marrow_models.pyramid.codec import JPEG_CODEC, ZSTD_CODEC
from marrow_models.pyramid.layout import LevelLayout
from marrow_models.slides.reader import ColourSpace, SlideReader

Profile = Literal["copy", "portable"]
"""``copy``: JPEG tiles as they are. ``portable``: zstd throughout, which every Zarr reader decodes."""

MAX_COARSEST_PX = 1024
"""The longer side of the coarsest level: what a viewer or the survey reads at one go."""
MAX_GAP = 4.0
"""Between two levels; a wider one makes low-power reading slow."""
_GAP_TOLERANCE = 1.05
_TILE_RANGE_PX = (64, 2048)
"""Source tiles outside of it are cut anew: smaller ones cost an index entry each, larger ones a decode each."""
_TILE_PX = 256


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One level of the store to be."""

    layout: LevelLayout
    source: int | None
    """Level of the source whose pixels these are; None where they are averaged from the level above."""
    copied: bool
    """Compressed tiles go over as they are."""


def plan_levels(reader: SlideReader, profile: Profile) -> list[LevelPlan]:
    """Plan all levels of a store, the finest first.

    Raises
    ------
    UserError
        There is no such profile.
    """
    if profile not in ("copy", "portable"):
        raise UserError(f"there is no storage profile {profile!r}: choose copy or portable")
    plans: list[LevelPlan] = []
    infos = reader.info.levels
    for number in range(len(infos)):
        plans.append(_source_level(reader, number, profile))
        following = infos[number + 1].downsample if number + 1 < len(infos) else None
        while _too_coarse(plans[-1].layout, following):
            plans.append(_made_level(plans[-1].layout, profile))
    return plans


def _source_level(reader: SlideReader, number: int, profile: Profile) -> LevelPlan:
    info = reader.info.levels[number]
    width, height = reader.tile_size(number) or (_TILE_PX, _TILE_PX)
    low, high = _TILE_RANGE_PX
    fits = low <= min(width, height) and max(width, height) <= high
    if not fits:
        width = height = _TILE_PX
    copied = fits and profile == "copy" and number in reader.jpeg_levels
    codec = JPEG_CODEC if copied else ZSTD_CODEC
    colour: ColourSpace = reader.jpeg_levels[number] if copied else "rgb"
    layout = LevelLayout(info.width_px, info.height_px, width, height, codec, colour, info.downsample)
    return LevelPlan(layout, number, copied)


def _made_level(above: LevelLayout, profile: Profile) -> LevelPlan:
    jpeg = profile == "copy"
    layout = LevelLayout(
        -(-above.width_px // 2),
        -(-above.height_px // 2),
        above.tile_width_px,
        above.tile_height_px,
        JPEG_CODEC if jpeg else ZSTD_CODEC,
        "ycbcr" if jpeg else "rgb",
        above.downsample * 2,
    )
    return LevelPlan(layout, None, False)


def _too_coarse(level: LevelLayout, following: float | None) -> bool:
    """Whether a level must be made between ``level`` and the next of the source (None: there is none)."""
    if following is None:
        return max(level.width_px, level.height_px) > MAX_COARSEST_PX
    return following / level.downsample > MAX_GAP * _GAP_TOLERANCE
