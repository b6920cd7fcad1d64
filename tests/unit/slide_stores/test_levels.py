"""Averaging and coding of single tiles; the count of damage; which levels a store gets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.errors import Reason, SlideRefused
from marrow_models.pyramid.codec import JPEG_CODEC, ZSTD_CODEC, zstd_decode
from marrow_models.pyramid.layout import LevelLayout
from marrow_models.pyramid.levels import Damage
from marrow_models.pyramid.made import encoded, halved
from marrow_models.slides import jpeg
from marrow_models.slides.levels import downsample_of
from marrow_models.slides.reader import TileSizeMismatch, TileUnreadable
from tests.unit.slide_files.sources import picture

LOSSLESS = LevelLayout(100, 100, 64, 64, ZSTD_CODEC, "rgb", 2.0)
LOSSY = LevelLayout(100, 100, 64, 64, JPEG_CODEC, "ycbcr", 2.0)


@given(st.integers(1, 40), st.integers(1, 40))
def test_halving_takes_the_mean_of_what_is_there(width: int, height: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    got = halved(pixels)
    assert got.shape == (-(-height // 2), -(-width // 2), 3)
    for i, j in [(0, 0), (got.shape[0] - 1, got.shape[1] - 1)]:
        square = pixels[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(-1, 3)
        assert np.abs(got[i, j] - square.mean(0)).max() <= 0.5


def test_a_tile_at_the_edge_is_coded_whole_and_comes_back() -> None:
    pixels = picture(36, 50)
    data = encoded(pixels, LOSSLESS)
    assert data is not None
    np.testing.assert_array_equal(zstd_decode(data, 64, 64)[:50, :36], pixels)
    assert (zstd_decode(data, 64, 64)[50:] == 255).all()
    lossy = encoded(pixels, LOSSY)
    assert lossy is not None
    assert np.abs(jpeg.decode(lossy, "ycbcr", 64, 64)[:50, :36].astype(int) - pixels).mean() < 4


@pytest.mark.parametrize("layout", [LOSSLESS, LOSSY])
def test_a_white_tile_needs_no_chunk(layout: LevelLayout) -> None:
    assert encoded(np.full((64, 64, 3), 255, np.uint8), layout) is None


@pytest.mark.parametrize("data", [b"", b"junk", b"\x28\xb5\x2f\xfd junk"])
def test_a_damaged_lossless_chunk_is_noticed(data: bytes) -> None:
    with pytest.raises(TileUnreadable):
        zstd_decode(data, 64, 64)


def test_damage_is_borne_up_to_its_limit_and_not_a_tile_further() -> None:
    damage = Damage(total=300, allowed=0.01)
    for _ in range(3):
        damage.add(TileUnreadable("cut"))
    with pytest.raises(SlideRefused) as caught:
        damage.add(TileUnreadable("cut"))
    assert caught.value.reason == Reason.TILE_ERRORS


@pytest.mark.parametrize(
    ("mismatched", "cut", "reason"),
    [(4, 0, Reason.TILE_SIZE_MISMATCH), (3, 1, Reason.TILE_SIZE_MISMATCH), (1, 3, Reason.TILE_ERRORS)],
)
def test_tiles_of_a_size_of_their_own_are_called_so_where_most_of_the_damage_is(
    mismatched: int, cut: int, reason: Reason
) -> None:
    damage = Damage(total=300, allowed=0.01)
    lost = [TileSizeMismatch("65500 x 65500")] * mismatched + [TileUnreadable("cut")] * cut
    for why in lost[:-1]:
        damage.add(why)
    with pytest.raises(SlideRefused) as caught:
        damage.add(lost[-1])
    assert caught.value.reason == reason


def test_a_slide_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(SlideRefused) as caught:
        Damage(total=300, allowed=0.01).check()
    assert caught.value.reason == Reason.TILE_ERRORS


@pytest.mark.parametrize(
    ("level", "downsample"),
    [((555, 741), 4.0), ((555, 742), 4.0), ((2220, 2967), 1.0), ((138, 185), 16.0), ((1000, 1336), 2.2204)],
)
def test_rounded_sizes_do_not_blur_a_whole_factor(level: tuple[int, int], downsample: float) -> None:
    assert downsample_of((2220, 2967), level) == pytest.approx(downsample, rel=1e-3)
