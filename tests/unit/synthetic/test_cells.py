"""Single cells."""

import math

import numpy as np
import pytest

from marrow_models.phantom.cells import CellPicture, draw_cell, plan_cell
from marrow_models.phantom.morphology import morphologies
from marrow_models.phantom.stain import sample_stain

REFERENCE = sample_stain(np.random.default_rng(0), 0)


def drawn(name: str, seed: int, um_per_px: float = 0.25) -> tuple[float, CellPicture]:
    rng = np.random.default_rng(seed)
    plan = plan_cell(rng, morphologies()[name])
    return plan.diameter_um, draw_cell(rng, plan, um_per_px, REFERENCE)


@pytest.mark.parametrize("name", morphologies())
def test_the_box_is_tight_and_the_whole_cell_is_on_the_patch(name: str) -> None:
    for seed in range(4):
        _, picture = drawn(name, seed)
        left, top, right, bottom = picture.box
        size = picture.alpha.shape[0]
        assert 0 < left < right < size
        assert 0 < top < bottom < size
        solid = picture.alpha > 0.5
        assert solid[top:bottom, left:right].sum() == solid.sum()
        assert solid[top].any()
        assert solid[bottom - 1].any()
        assert solid[:, left].any()
        assert solid[:, right - 1].any()
        border = np.concatenate([picture.alpha[0], picture.alpha[-1], picture.alpha[:, 0], picture.alpha[:, -1]])
        assert border.max() < 0.5


@pytest.mark.parametrize("name", morphologies())
def test_a_cell_has_the_size_it_was_planned_with(name: str) -> None:
    ratios = []
    for seed in range(6):
        diameter, picture = drawn(name, seed)
        measured = 2 * math.sqrt(float(picture.alpha.sum()) * 0.25**2 / math.pi)
        ratios.append(measured / diameter)
    assert np.mean(ratios) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("name", morphologies())
def test_colours_are_premultiplied_colours(name: str) -> None:
    _, picture = drawn(name, 3)
    assert picture.colour.dtype == picture.alpha.dtype == np.float32
    assert picture.alpha.min() >= 0
    assert picture.alpha.max() <= 1
    assert picture.colour.min() >= 0
    # Clumps and noise may lighten a pixel; the film cuts it at white.
    assert (picture.colour <= 400 * picture.alpha[..., None] + 1e-3).all()


def test_a_cell_covers_a_quarter_of_the_pixels_at_twice_the_pixel_size() -> None:
    for name in ("myelocytic_blast", "lymphocyte"):
        fine, coarse = (np.mean([drawn(name, seed, um)[1].alpha.sum() for seed in range(12)]) for um in (0.2, 0.4))
        assert coarse == pytest.approx(fine / 4, rel=0.05)


def test_no_cell_is_larger_than_40_um() -> None:
    rng = np.random.default_rng(1)
    diameters = [plan_cell(rng, morphologies()["megakaryocyte"]).diameter_um for _ in range(300)]
    assert max(diameters) <= 40
    assert np.std(diameters) > 1


@pytest.mark.parametrize("name", ["promyelocyte", "monocyte", "plasma_cell", "myelocytic_blast"])
def test_the_same_generator_draws_the_same_cell(name: str) -> None:
    first, second, other = (drawn(name, seed)[1] for seed in (9, 9, 10))
    np.testing.assert_array_equal(first.colour, second.colour)
    np.testing.assert_array_equal(first.alpha, second.alpha)
    assert not np.array_equal(first.colour, other.colour)


def mean_colour(name: str, seeds: int = 8) -> np.ndarray:
    sums = [drawn(name, seed)[1] for seed in range(seeds)]
    return np.mean([p.colour.sum(axis=(0, 1)) / p.alpha.sum() for p in sums], axis=0)


def test_eosinophils_are_orange_where_neutrophils_are_not() -> None:
    orange = {name: mean_colour(name) for name in ("segmented_eosinophil", "segmented_neutrophil")}
    excess = {name: colour[0] - colour[2] for name, colour in orange.items()}
    assert excess["segmented_eosinophil"] > excess["segmented_neutrophil"] + 30


def test_plasma_cells_and_proerythroblasts_are_the_bluest_of_their_neighbours() -> None:
    blueness = {
        name: mean_colour(name)[2] - mean_colour(name)[0]
        for name in ("plasma_cell", "neutrophilic_myelocyte", "monocyte")
    }
    assert blueness["plasma_cell"] == max(blueness.values())


def dark_fraction(picture: CellPicture) -> float:
    """Return the part of the cell that is as dark as a nucleus."""
    solid = picture.alpha > 0.99
    return float((picture.colour.sum(axis=2)[solid] < 360).mean())


def test_the_nucleus_takes_its_part_of_the_cell() -> None:
    for name in ("neutrophilic_myelocyte", "orthochromatic_erythroblast", "segmented_neutrophil"):
        wanted = morphologies()[name].nuclear_fraction.mean
        measured = np.mean([dark_fraction(drawn(name, seed)[1]) for seed in range(15)])
        assert measured == pytest.approx(wanted, abs=0.09)
