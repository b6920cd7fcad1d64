"""Patients and their marrow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from marrow_models.errors import UserError
from marrow_models.phantom.morphology import morphologies
from marrow_models.phantom.patients import PROFILES, profile_of, sample_composition, sample_demography
from marrow_models.taxonomy import ICSH_CATEGORIES, load_taxonomy

TAXONOMY = load_taxonomy("marrow49")


def by_category(composition: dict[str, float]) -> dict[str, float]:
    """Return the percent of the differential by category."""
    percent = dict.fromkeys(ICSH_CATEGORIES, 0.0)
    for label, share in composition.items():
        category = TAXONOMY.category_of(label)
        if category:
            percent[category] += share
    total = sum(percent.values())
    return {category: 100 * share / total for category, share in percent.items()}


def cohort(diagnosis: str, number: int = 200) -> list[dict[str, float]]:
    rng = np.random.default_rng(17)
    return [by_category(sample_composition(rng, diagnosis)) for _ in range(number)]


def me_ratio(percent: dict[str, float]) -> float:
    lymphoid = percent["lymphocyte"] + percent["plasma_cell"]
    return (100 - percent["erythroblast"] - lymphoid) / max(percent["erythroblast"], 0.01)


def test_the_four_diagnoses_come_in_the_order_of_the_demonstration() -> None:
    assert tuple(PROFILES) == ("normal", "ALL", "AML", "CML")


@pytest.mark.parametrize("diagnosis", PROFILES)
def test_a_profile_sums_to_100_over_labels_that_can_be_drawn(diagnosis: str) -> None:
    assert sum(PROFILES[diagnosis].values()) == pytest.approx(100)
    assert set(PROFILES[diagnosis]) <= set(morphologies())


@given(diagnosis=st.sampled_from(list(PROFILES)), seed=st.integers(0, 2**32))
def test_a_patient_sums_to_one_without_negative_shares(diagnosis: str, seed: int) -> None:
    composition = sample_composition(np.random.default_rng(seed), diagnosis)
    assert sum(composition.values()) == pytest.approx(1)
    assert min(composition.values()) >= 0


@pytest.mark.parametrize("diagnosis", PROFILES)
def test_patients_scatter_about_the_mean_of_their_profile(diagnosis: str) -> None:
    rng = np.random.default_rng(2)
    drawn = [sample_composition(rng, diagnosis) for _ in range(1500)]
    for label, percent in PROFILES[diagnosis].items():
        shares = np.array([100 * composition.get(label, 0.0) for composition in drawn])
        assert shares.mean() == pytest.approx(percent, abs=max(0.15, 5 * shares.std() / np.sqrt(len(shares))))
        assert shares.std() > 0


def test_normal_marrow_lies_in_the_reference_ranges() -> None:
    percent = by_category(dict(PROFILES["normal"]))
    assert 20 < percent["erythroblast"] < 33
    assert percent["blast"] < 2
    assert 1 < percent["eosinophil"] < 5
    assert percent["basophil"] < 1
    assert percent["plasma_cell"] < 1.5
    assert 2 < me_ratio(percent) < 4


def test_no_normal_marrow_holds_as_many_blasts_as_leukaemia() -> None:
    assert max(percent["blast"] for percent in cohort("normal", 500)) < 15


def test_blasts_of_all_are_lymphoid_and_of_aml_are_not() -> None:
    assert PROFILES["ALL"]["lymphocytic_blast"] > 60
    assert PROFILES["ALL"].get("myelocytic_blast", 0) == 0
    assert PROFILES["AML"].get("lymphocytic_blast", 0) == 0
    assert PROFILES["AML"]["myelocytic_blast"] + PROFILES["AML"]["monocytic_blast"] > 40


def test_leukaemic_burden_varies_between_patients() -> None:
    for diagnosis, least in (("ALL", 48), ("AML", 20)):
        blasts = [percent["blast"] for percent in cohort(diagnosis)]
        assert min(blasts) > least
        assert np.std(blasts) > 5


def test_cml_is_granulocytic_hyperplasia_with_basophilia_and_few_blasts() -> None:
    patients = cohort("CML")
    assert np.mean([me_ratio(percent) > 6 for percent in patients]) > 0.95
    assert np.mean([percent["basophil"] for percent in patients]) > 3
    assert np.mean([percent["eosinophil"] for percent in patients]) > 4
    assert max(percent["blast"] for percent in patients) < 12


def test_five_hundred_cells_tell_the_diagnoses_apart() -> None:
    rng = np.random.default_rng(5)
    rows, names = [], []
    for diagnosis in PROFILES:
        for _ in range(120):
            composition = sample_composition(rng, diagnosis)
            counts = rng.multinomial(500, np.array(list(composition.values())) / sum(composition.values()))
            percent = by_category(dict(zip(composition, counts.tolist(), strict=True)))
            lymphoid = composition.get("lymphocytic_blast", 0.0)
            rows.append([*percent.values(), 100 * lymphoid])
            names.append(diagnosis)
    features, truth = np.array(rows) / 20, np.array(names)
    train = rng.random(len(truth)) < 0.5
    model = LogisticRegression(max_iter=3000).fit(features[train], truth[train])
    assert model.score(features[~train], truth[~train]) > 0.97


def test_an_unknown_diagnosis_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match="normal, ALL, AML, CML"):
        sample_composition(np.random.default_rng(1), "CLL")


@pytest.mark.parametrize("diagnosis", PROFILES)
def test_ages_lie_in_the_range_of_the_profile(diagnosis: str) -> None:
    rng = np.random.default_rng(3)
    people = [sample_demography(rng, diagnosis) for _ in range(200)]
    least, most = profile_of(diagnosis).age_years
    assert {person.sex for person in people} == {"female", "male"}
    assert least <= min(person.age_years for person in people)
    assert max(person.age_years for person in people) <= most
