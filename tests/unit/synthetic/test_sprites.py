"""Red cells, platelets and dirt."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.phantom.sprites import SpriteBox, paste, sprite_box
from marrow_models.phantom.stain import sample_stain

STAIN = sample_stain(np.random.default_rng(0), 0)
BOX: SpriteBox = sprite_box(STAIN, 0.25)


def test_sprites_take_light_away_and_add_none() -> None:
    for sprite in BOX.red_cells + BOX.platelets + BOX.dirt:
        assert sprite.max() <= 256
        assert sprite.min() < 256


def test_red_cells_measure_5_to_7_5_um() -> None:
    diameters = [2 * np.sqrt((sprite[..., 1] < 250).sum() / np.pi) * 0.25 for sprite in BOX.red_cells]
    assert min(diameters) > 4.5
    assert max(diameters) < 8.2
    assert max(diameters) - min(diameters) > 1.5


def test_red_cells_are_paler_in_the_middle() -> None:
    for sprite in BOX.red_cells:
        middle = sprite.shape[0] // 2
        assert sprite[middle, middle, 1] > sprite[..., 1].min() + 3


def test_platelets_are_far_smaller_than_cells() -> None:
    assert max((sprite[..., 1] < 240).sum() for sprite in BOX.platelets) * 0.25**2 < 15


def test_sprites_scale_with_the_pixels() -> None:
    coarse = sprite_box(STAIN, 0.5)
    for fine, small in zip(BOX.red_cells, coarse.red_cells, strict=True):
        assert (fine[..., 1] < 245).sum() == pytest.approx(4 * (small[..., 1] < 245).sum(), rel=0.25)


@given(x=st.integers(-60, 160), y=st.integers(-60, 120))
def test_a_sprite_is_cut_at_the_border_of_the_canvas(x: int, y: int) -> None:
    sprite = BOX.red_cells[0]
    margin = 64
    large = np.full((60 + 2 * margin, 100 + 2 * margin, 3), 240, np.uint8)
    paste(large, sprite, x + margin, y + margin)
    canvas = np.full((60, 100, 3), 240, np.uint8)
    paste(canvas, sprite, x, y)
    np.testing.assert_array_equal(canvas, large[margin:-margin, margin:-margin])


def test_red_cells_lying_over_each_other_are_darker() -> None:
    canvas = np.full((60, 60, 3), 240, np.uint8)
    paste(canvas, BOX.red_cells[0], 30, 30)
    once = canvas.copy()
    paste(canvas, BOX.red_cells[0], 30, 30)
    assert (canvas.astype(int) <= once).all()
    assert canvas.min() < once.min()
