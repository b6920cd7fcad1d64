"""Noise that is cut from tiles."""

import numpy as np
import pytest

from marrow_models.phantom.textures import noise, speckle


@pytest.mark.parametrize("scale_px", [0.1, 1.0, 4.0])
def test_noise_has_zero_mean_and_unit_variance(scale_px: float) -> None:
    rng = np.random.default_rng(1)
    window = noise(rng, (512, 512), scale_px)
    assert abs(window.mean()) < 0.01
    assert window.std() == pytest.approx(1, abs=0.01)


def test_coarser_noise_changes_more_slowly() -> None:
    rng = np.random.default_rng(1)
    steps = [np.abs(np.diff(noise(rng, (400, 400), scale), axis=1)).mean() for scale in (0.5, 2.0, 8.0)]
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


def test_a_window_larger_than_the_tile_is_filled() -> None:
    window = noise(np.random.default_rng(3), (700, 30), 2.0)
    assert window.shape == (700, 30)
    assert window.std() > 0.5


def test_noise_depends_on_the_generator_only() -> None:
    first, second = (noise(np.random.default_rng(5), (40, 50), 3.0) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, noise(np.random.default_rng(6), (40, 50), 3.0))


def test_nobody_can_write_to_the_shared_tile() -> None:
    with pytest.raises(ValueError, match="read-only"):
        noise(np.random.default_rng(5), (4, 4), 3.0)[0, 0] = 1


@pytest.mark.parametrize("width", [7, 512, 1500])
def test_speckle_is_grey(width: int) -> None:
    window = speckle(np.random.default_rng(2), 16, width).reshape(16, width, 3)
    np.testing.assert_array_equal(window[..., 0], window[..., 1])
    np.testing.assert_array_equal(window[..., 0], window[..., 2])
