"""Stain of a slide."""

import numpy as np
import pytest

from marrow_models.phantom.stain import sample_stain


def test_the_reference_stain_leaves_colours_as_they_are() -> None:
    colours = np.array([[120, 50, 160], [200, 180, 220]], np.float32)
    np.testing.assert_allclose(sample_stain(np.random.default_rng(1), 0).applied(colours), colours, rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_light_that_nothing_absorbs_stays_white(seed: int) -> None:
    stain = sample_stain(np.random.default_rng(seed))
    np.testing.assert_allclose(stain.applied(np.full((1, 3), 255, np.float32)), 255, rtol=1e-4)


def test_slides_differ_but_keep_dark_things_darker() -> None:
    colours = np.array([[70, 30, 120], [150, 120, 190], [230, 220, 235]], np.float32)
    stains = [sample_stain(np.random.default_rng(seed)) for seed in range(20)]
    shown = np.array([stain.applied(colours) for stain in stains])
    assert shown.std(axis=0).min() > 0.3
    assert (np.diff(shown.sum(axis=2), axis=1) > 0).all()


@pytest.mark.parametrize("seed", range(10))
def test_red_cells_are_darker_than_the_glass_but_far_lighter_than_a_nucleus(seed: int) -> None:
    stain = sample_stain(np.random.default_rng(seed), 1.2)
    assert stain.red_cell.sum() < stain.glass.sum() - 30
    assert stain.red_cell.min() > 150
