"""Light, lens and camera."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from marrow_models.phantom.optics import blur, enlarged, expose, spoil
from marrow_models.phantom.regions import Region


def picture(height: int = 96, width: int = 130) -> np.ndarray:
    rng = np.random.default_rng(1)
    coarse = rng.uniform(0, 255, (height // 4 + 1, width // 4 + 1, 3))
    return np.asarray(coarse.repeat(4, 0).repeat(4, 1)[:height, :width], np.float32)


@pytest.mark.parametrize("sigma_px", [0.8, 2.0, 4.0, 9.0])
def test_fast_blur_cannot_be_told_from_a_gaussian(sigma_px: float) -> None:
    clear = picture()
    exact = np.stack([gaussian_filter(clear[..., c], sigma_px) for c in range(3)], axis=2)
    inner = (slice(24, -24), slice(24, -24))
    assert np.abs(blur(clear, sigma_px) - exact)[inner].max() < 6
    assert np.abs(blur(clear, sigma_px) - exact)[inner].mean() < 1.5


def test_enlarging_keeps_the_corners_and_runs_straight_between() -> None:
    coarse = np.array([[0, 10], [20, 30]], np.float32)
    large = enlarged(coarse, 5, 3)
    np.testing.assert_allclose(large[[0, 0, -1, -1], [0, -1, 0, -1]], [0, 10, 20, 30])
    np.testing.assert_allclose(large[:, 1], [5, 10, 15, 20, 25])


@pytest.mark.parametrize("thick", [False, True])
def test_spoiling_changes_the_region_and_nothing_else(thick: bool) -> None:
    before = picture(160, 200).astype(np.uint8)
    canvas = before.copy()
    region = Region(10, 12, 8, 8)
    spoil(np.random.default_rng(1), canvas, region, 0.25, blur_um=1.0, thick=thick)
    assert not np.array_equal(canvas[40:56, 32:48], before[40:56, 32:48])
    np.testing.assert_array_equal(canvas[:, 120:], before[:, 120:])
    np.testing.assert_array_equal(canvas[130:], before[130:])


def test_a_clot_is_dark_and_a_blurred_spot_is_not() -> None:
    means = []
    for thick in (False, True):
        canvas = picture(160, 200).astype(np.uint8)
        spoil(np.random.default_rng(1), canvas, Region(20, 20, 15, 15), 0.25, blur_um=1.0, thick=thick)
        means.append(canvas[60:100, 60:100].mean())
    assert means[1] < 0.7 * means[0]


def test_a_region_off_the_canvas_is_no_matter() -> None:
    canvas = picture().astype(np.uint8)
    before = canvas.copy()
    spoil(np.random.default_rng(1), canvas, Region(900, 900, 5, 5), 0.25, blur_um=1.0, thick=True)
    np.testing.assert_array_equal(canvas, before)


def test_exposure_keeps_the_mean_and_adds_grey_noise() -> None:
    canvas = np.full((300, 700, 3), 128, np.uint8)
    expose(np.random.default_rng(4), canvas)
    assert abs(float(canvas.mean()) - 128) < 6
    assert canvas.std() > 1
    assert np.abs(canvas[..., 0].astype(int) - canvas[..., 2]).max() <= 1
