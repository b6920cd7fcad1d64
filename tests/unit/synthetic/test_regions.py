"""Regions of a smear."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.phantom.regions import Ground, Region, sample_region


@given(seed=st.integers(0, 2**32), x=st.floats(-500, 500), y=st.floats(-500, 500), radius=st.floats(10, 400))
def test_the_centre_is_inside_and_everything_beyond_the_bounds_outside(
    seed: int, x: float, y: float, radius: float
) -> None:
    region = sample_region(np.random.default_rng(seed), (x, y), radius)
    left, top, right, bottom = region.bounds_um(1.0)
    assert region.distance_um(np.array([x], np.float32), np.array([y], np.float32))[0] < 0
    across = np.linspace(left, right, 50, dtype=np.float32)
    down = np.linspace(top, bottom, 50, dtype=np.float32)
    for edge in (left, right):
        assert (region.distance_um(np.full(50, edge, np.float32), down) > 0).all()
    for edge in (top, bottom):
        assert (region.distance_um(across, np.full(50, edge, np.float32)) > 0).all()


def test_the_distance_of_a_plain_circle_is_exact() -> None:
    circle = Region(10, 20, 5, 5)
    x, y = np.array([10, 15, 20], np.float32), np.array([20, 20, 20], np.float32)
    np.testing.assert_allclose(circle.distance_um(x, y), [-5, 0, 5], atol=1e-5)


def test_bare_glass_holds_no_cells_at_all() -> None:
    circle = Region(0, 0, 5, 5)
    ground = Ground(clots=(circle,), blurred=(circle,), glass=(circle,))
    assert len(ground.regions) == 3
    assert len(ground.unreadable) == 2
    (_, clot_um2), (_, blurred_um2) = ground.unreadable
    assert clot_um2 < blurred_um2
