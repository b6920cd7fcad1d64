"""The table of appearances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.phantom.morphology import Count, Trait, _merged, morphologies
from marrow_models.taxonomy import ICSH_CATEGORIES, load_taxonomy

TAXONOMY = load_taxonomy("marrow49")


@pytest.mark.parametrize("label", morphologies())
def test_every_label_is_a_nucleated_class_of_the_target_taxonomy(label: str) -> None:
    assert TAXONOMY.get(label).nucleated


def test_every_category_of_the_differential_that_the_taxonomy_can_name_has_an_appearance() -> None:
    drawn = {TAXONOMY.category_of(label) for label in morphologies()} - {None}
    nameable = {cell_class.category for cell_class in TAXONOMY.classes} - {None}
    assert drawn == nameable
    assert set(ICSH_CATEGORIES) - drawn == {"mast_cell"}


def test_the_granulocytic_stages_shrink_and_their_nuclei_lengthen_as_they_mature() -> None:
    line = [morphologies()[f"neutrophilic_{stage}"] for stage in ("myelocyte", "metamyelocyte", "band")] + [
        morphologies()["segmented_neutrophil"]
    ]
    diameters = [kind.diameter_um.mean for kind in line]
    slenderness = [kind.nucleus.slenderness.mean for kind in line]
    fractions = [kind.nuclear_fraction.mean for kind in line]
    assert diameters == sorted(diameters, reverse=True)
    assert slenderness == sorted(slenderness)
    assert fractions == sorted(fractions, reverse=True)


def test_erythroblasts_shrink_and_lose_their_blue_as_they_mature() -> None:
    line = [
        morphologies()[f"{stage}erythroblast"] for stage in ("pro", "basophilic_", "polychromatic_", "orthochromatic_")
    ]
    diameters = [kind.diameter_um.mean for kind in line]
    redness = [kind.cytoplasm.colour[0] - kind.cytoplasm.colour[2] for kind in line]
    assert diameters == sorted(diameters, reverse=True)
    assert redness == sorted(redness)


def test_a_row_may_not_hold_a_trait_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="nucleus_colour"):
        _merged({"diameter_um": [1, 0], "nucleus": {"lobes": [1, 1]}}, {"nucleus_colour": [0, 0, 0]})
    with pytest.raises(ValueError, match="lobe"):
        _merged({"nucleus": {"lobes": [1, 1]}}, {"nucleus": {"lobe": [1, 1]}})


def test_a_row_overrides_single_values_of_a_group_and_keeps_the_others() -> None:
    merged = _merged({"nucleus": {"lobes": [1, 1], "edge_um": 0.2}}, {"nucleus": {"lobes": [2, 3]}})
    assert merged == {"nucleus": {"lobes": [2, 3], "edge_um": 0.2}}


@given(mean=st.floats(-100, 100), sd=st.floats(0, 50), seed=st.integers(0, 2**32))
def test_a_trait_is_never_a_caricature(mean: float, sd: float, seed: int) -> None:
    values = [Trait(mean, sd).sample(np.random.default_rng([seed, i])) for i in range(20)]
    assert all(abs(value - mean) <= 2.2 * sd + 1e-9 for value in values)


@given(least=st.integers(0, 5), extra=st.integers(0, 5), seed=st.integers(0, 2**32))
def test_a_count_takes_both_of_its_ends(least: int, extra: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = {Count(least, least + extra).sample(rng) for _ in range(200)}
    assert drawn == set(range(least, least + extra + 1))
