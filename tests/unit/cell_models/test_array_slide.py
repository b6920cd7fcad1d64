import numpy as np
import pytest

from marrow_models.records import Rect
from marrow_models.training.array_slide import ArraySlide
from tests.unit.cell_models.factories import picture

PIXELS = picture(0, 60, 80)


def test_at_its_own_scale_a_slide_gives_its_pixels():
    region = ArraySlide(PIXELS, 0.25).scaled_region(0.25, Rect(10, 20, 30, 15))
    assert np.array_equal(region, PIXELS[20:35, 10:40])


@pytest.mark.parametrize(
    "rect", [Rect(-5, -7, 100, 90), Rect(70, 50, 30, 30), Rect(200, 300, 4, 4), Rect(-50, 0, 20, 9)]
)
def test_outside_there_is_glass(rect):
    framed = np.pad(PIXELS, ((300, 300), (300, 300), (0, 0)), constant_values=255)
    region = ArraySlide(PIXELS, 0.25).scaled_region(0.25, rect)
    assert np.array_equal(region, framed[rect.y + 300 : rect.bottom + 300, rect.x + 300 : rect.right + 300])


def test_overlapping_regions_agree_at_any_scale():
    slide = ArraySlide(PIXELS, 0.23)
    a, b = slide.scaled_region(0.5, Rect(0, 0, 30, 25)), slide.scaled_region(0.5, Rect(7, 5, 20, 18))
    assert np.array_equal(a[5:23, 7:27], b)


def test_there_is_one_level():
    slide = ArraySlide(PIXELS, 0.25)
    assert slide.level_for(4.0) == 0
    with pytest.raises(IndexError):
        slide.scaled_region(1.0, Rect(0, 0, 1, 1), from_level=1)
