"""Sizes that no honest file can hold."""

from __future__ import annotations

import pytest

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides.gate import check_dimensions, check_within_file


@pytest.mark.parametrize(
    ("width", "height", "size", "reason"),
    [
        (0, 10, 1000, Reason.CORRUPT_HEADER),
        (10, 0, 1000, Reason.CORRUPT_HEADER),
        (262_144, 262_144, 82_000, Reason.BOMB),
        (1_000_001, 10, 10**9, Reason.BOMB),
        (900_000, 900_000, 10**12, Reason.BOMB),
        (10_000, 10_000, 1_000, Reason.BOMB),
    ],
)
def test_impossible_sizes_are_refused(width: int, height: int, size: int, reason: Reason) -> None:
    with pytest.raises(SlideRefused) as caught:
        check_dimensions(width, height, size)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(1, 1, 500), (255, 1, 500), (100_000, 80_000, 10**9), (189_184, 448_768, 13_800_000_000)],
)
def test_real_slides_pass_up_to_the_largest_published_marrow_slide(width: int, height: int, size: int) -> None:
    check_dimensions(width, height, size)


def test_a_few_tiles_behind_the_end_are_damage_and_many_are_a_cut() -> None:
    check_within_file(1, 100)
    with pytest.raises(SlideRefused) as caught:
        check_within_file(2, 100)
    assert caught.value.reason == Reason.TRUNCATED
