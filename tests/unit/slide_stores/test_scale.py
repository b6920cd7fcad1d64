"""Resampling: the same pixel whatever the request, and the right one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from marrow_models.pyramid import scale
from marrow_models.pyramid.scale import resampled
from marrow_models.records import Rect

rng = np.random.default_rng(11)
SOURCE = rng.integers(0, 256, (180, 230, 3), dtype=np.uint8)


def reader(pixels: NDArray[np.uint8]):
    """Read any rectangle of ``pixels``; white outside."""

    def read(rect: Rect) -> NDArray[np.uint8]:
        out = np.full((rect.height, rect.width, 3), 255, np.uint8)
        top, left = max(rect.y, 0), max(rect.x, 0)
        bottom, right = min(rect.bottom, pixels.shape[0]), min(rect.right, pixels.shape[1])
        if bottom > top and right > left:
            out[top - rect.y : bottom - rect.y, left - rect.x : right - rect.x] = pixels[top:bottom, left:right]
        return out

    return read


rects = st.builds(Rect, st.integers(-40, 200), st.integers(-40, 200), st.integers(1, 60), st.integers(1, 60))
ratios = st.one_of(st.floats(0.3, 6.0), st.sampled_from([0.5, 1.0, 2.0, 3.0, 0.3 / 0.1, 0.25 / 0.078]))


@given(rects, rects, ratios)
@settings(max_examples=200, deadline=None)
def test_any_two_requests_agree_bit_for_bit_where_they_overlap(one: Rect, two: Rect, ratio: float) -> None:
    left, top = max(one.x, two.x), max(one.y, two.y)
    right, bottom = min(one.right, two.right), min(one.bottom, two.bottom)
    if right <= left or bottom <= top:
        left, top, right, bottom = one.x, one.y, one.right, one.bottom
        two = one.expanded(7)
    parts = []
    for rect in (one, two):
        pixels = resampled(reader(SOURCE), ratio, rect)
        parts.append(pixels[top - rect.y : bottom - rect.y, left - rect.x : right - rect.x])
    np.testing.assert_array_equal(parts[0], parts[1])


@given(ratios, st.integers(1, 4000))
@settings(max_examples=30, deadline=None)
def test_the_bands_in_which_it_works_do_not_show(ratio: float, band_bytes: int) -> None:
    rect = Rect(-3, 5, 40, 33)
    whole = resampled(reader(SOURCE), ratio, rect)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "_BAND_BYTES", band_bytes)
        np.testing.assert_array_equal(resampled(reader(SOURCE), ratio, rect), whole)


def test_at_the_slides_own_scale_pixels_are_what_they_are() -> None:
    np.testing.assert_array_equal(resampled(reader(SOURCE), 1.0, Rect(10, 20, 50, 40)), SOURCE[20:60, 10:60])


@pytest.mark.parametrize("factor", [2, 3, 5, 17])
def test_a_whole_ratio_is_the_plain_mean_of_boxes(factor: int) -> None:
    height, width = SOURCE.shape[0] // factor, SOURCE.shape[1] // factor
    boxes = SOURCE[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    expected = np.rint(boxes.mean((1, 3), dtype=np.float64))
    got = resampled(reader(SOURCE), float(factor), Rect(0, 0, width, height))
    assert np.abs(got - expected).max() <= 1  # ties round either way
    assert (got == expected).mean() > 0.99


def test_a_ratio_that_is_whole_but_for_rounding_counts_as_whole() -> None:
    assert 0.3 / 0.1 != 3.0
    rect = Rect(0, 0, 70, 50)
    np.testing.assert_array_equal(resampled(reader(SOURCE), 0.3 / 0.1, rect), resampled(reader(SOURCE), 3.0, rect))


@pytest.mark.parametrize("ratio", [0.5, 0.77, 1.3, 1.99, 2.5, 3.7])
def test_a_place_on_the_slide_stays_where_it_is_at_every_scale(ratio: float) -> None:
    """A ramp must stay a ramp: pixel j covers [j, j + 1) * ratio, so its value is that of its centre."""
    ramp = np.broadcast_to(np.arange(230, dtype=np.uint8)[None, :, None], (180, 230, 3))
    columns = np.arange(20, 40)
    got = resampled(reader(ramp), ratio, Rect(20, 20, 20, 5))[2, :, 0]
    expected = (columns + 0.5) * ratio - 0.5
    assert np.abs(got - expected).max() <= 0.51


@given(ratios, st.integers(0, 255))
@settings(max_examples=30, deadline=None)
def test_an_even_area_stays_even(ratio: float, value: int) -> None:
    even = np.full((180, 230, 3), value, np.uint8)
    assert (resampled(reader(even), ratio, Rect(8, 8, 12, 12)) == value).all()


def test_outside_of_the_slide_there_is_white_glass() -> None:
    assert (resampled(reader(SOURCE), 2.5, Rect(500, -90, 20, 20)) == 255).all()


@pytest.mark.parametrize("rect", [Rect(0, 0, 0, 5), Rect(0, 0, 5, 0), Rect(3, 3, 0, 0)])
def test_an_empty_request_is_an_empty_picture(rect: Rect) -> None:
    assert resampled(reader(SOURCE), 1.5, rect).shape == (rect.height, rect.width, 3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_halving_in_whole_numbers_is_the_mean_of_four_half_to_even(seed: int, height: int, width: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (2 * height, 2 * width, 3), dtype=np.uint8)
    out = np.empty((height, width, 3), np.uint8)
    scale.halve(pixels, out)
    means = pixels.astype(np.float64).reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(out, np.rint(means))


def test_every_sum_of_four_is_rounded_half_to_even() -> None:
    total = np.arange(4 * 255 + 1)
    parts = np.stack([(total + n) // 4 for n in range(4)])
    pixels = np.repeat(parts.reshape(2, 2, -1).transpose(0, 2, 1).reshape(2, -1, 1), 3, axis=2).astype(np.uint8)
    out = np.empty((1, len(total), 3), np.uint8)
    scale.halve(pixels, out)
    np.testing.assert_array_equal(out[0, :, 0], np.rint(total / 4))


@given(rects, ratios)
@settings(max_examples=40, deadline=None)
def test_the_few_rows_at_a_time_do_not_show(rect: Rect, ratio: float) -> None:
    whole = resampled(reader(SOURCE), ratio, rect)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "_CACHED_ROWS", 1000)
        np.testing.assert_array_equal(resampled(reader(SOURCE), ratio, rect), whole)
        patch.setattr(scale, "_CACHED_ROWS", 3)
        np.testing.assert_array_equal(resampled(reader(SOURCE), ratio, rect), whole)
