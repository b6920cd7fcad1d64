"""Outlines of nuclei."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, label

from marrow_models.phantom.morphology import morphologies
from marrow_models.phantom.nuclei import Chain, sample_chain

UM = 0.1
AXIS = (np.arange(241, dtype=np.float32) - 120) * np.float32(UM)


def mask_of(chain: Chain) -> np.ndarray:
    return chain.distance_um(AXIS[None], AXIS[:, None]) < 0


@given(name=st.sampled_from(list(morphologies())), seed=st.integers(0, 2**32), radius=st.floats(4, 18))
def test_a_nucleus_lies_inside_its_cell(name: str, seed: int, radius: float) -> None:
    kind = morphologies()[name]
    area = math.pi * radius**2 * kind.nuclear_fraction.mean
    chain = sample_chain(np.random.default_rng(seed), kind.nucleus, area, radius)
    assert chain.reach_um <= 0.96 * radius


@pytest.mark.parametrize("name", ["lymphocytic_blast", "neutrophilic_metamyelocyte", "neutrophilic_band"])
def test_a_nucleus_has_about_the_area_asked_for(name: str) -> None:
    kind = morphologies()[name]
    areas = [
        mask_of(sample_chain(np.random.default_rng(seed), kind.nucleus, 45.0, 8.0)).sum() * UM**2 for seed in range(20)
    ]
    # A bent chain overlaps itself, so its area falls short of the stretched one's.
    assert 45 * 0.75 < np.mean(areas) < 45 * 1.1


def pieces_when_thinned(name: str, seed: int) -> int:
    """Count what is left in one piece when the outline moves inwards by a sixth of the width."""
    chain = sample_chain(np.random.default_rng(seed), morphologies()[name].nucleus, 36.0, 6.4)
    mask = mask_of(chain)
    assert label(mask, np.ones((3, 3)))[1] == 1  # filaments hold the lobes together
    return int(label(binary_erosion(mask, iterations=round(chain.width_um / 6 / UM)))[1])


def test_segmented_nuclei_fall_into_lobes_where_bands_stay_whole() -> None:
    whole = {
        name: np.mean([pieces_when_thinned(name, seed) == 1 for seed in range(25)])
        for name in ("segmented_neutrophil", "neutrophilic_band")
    }
    assert whole["neutrophilic_band"] > 0.95
    assert whole["segmented_neutrophil"] < 0.3  # lobes that lie over each other


def solidity(name: str, seed: int) -> float:
    """Return the area over that of the circle around it: low for bent and thin shapes."""
    mask = mask_of(sample_chain(np.random.default_rng(seed), morphologies()[name].nucleus, 40.0, 8.0))
    rows, columns = np.nonzero(mask)
    reach = np.hypot(rows - rows.mean(), columns - columns.mean()).max()
    return float(mask.sum() / (math.pi * reach**2))


def test_nuclei_fill_their_circle_less_the_more_mature_they_are() -> None:
    stages = ("neutrophilic_myelocyte", "neutrophilic_metamyelocyte", "neutrophilic_band")
    means = [np.mean([solidity(stage, seed) for seed in range(15)]) for stage in stages]
    assert means[0] > means[1] + 0.08
    assert means[1] > means[2] + 0.03


def test_distance_is_that_from_the_nearest_disc() -> None:
    chain = Chain(*(np.array(v, np.float32) for v in ([0, 4], [0, 0], [1, 2])))
    distance = chain.distance_um(np.array([[0, 2, 8]], np.float32), np.array([[0]], np.float32))
    np.testing.assert_allclose(distance, [[-1, 0, 2]], atol=1e-6)
