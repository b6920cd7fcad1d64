"""The diagnosis model on the phantom's patients, as the lead command trains it."""

from collections import Counter

import numpy as np
import pytest

from marrow_models.diagnosis.differential import differential
from marrow_models.diagnosis.model_files import load_model
from marrow_models.diagnosis.rules import DEFAULT_RULE_SETS, load_rules
from marrow_models.diagnosis.suggest import Status, suggest
from marrow_models.diagnosis.training import train_diagnosis
from marrow_models.phantom.patients import PROFILES, sample_composition

from .patients import MARROW49

PATIENTS = 120


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnosis")
    report = train_diagnosis(folder, seed=20, patients=800)
    return report, load_model(folder, report.digest)


@pytest.fixture(scope="module")
def suggestions(trained):
    """(true diagnosis, suggestion) of patients that no training saw, counted without error."""
    rng, labels = np.random.default_rng(99), MARROW49.labels
    rule_sets = [load_rules(name) for name in DEFAULT_RULE_SETS]
    made = []
    for i in range(PATIENTS):
        diagnosis = tuple(PROFILES)[i % len(PROFILES)]
        composition = sample_composition(rng, diagnosis)
        shares = np.array([composition.get(label, 0.0) for label in labels])
        counts = dict(zip(labels, rng.multinomial(800, shares / shares.sum()).tolist(), strict=True))
        found = suggest(differential(counts, MARROW49), rule_sets=rule_sets, model=trained[1], age_years=10)
        made.append((diagnosis, found))
    return made


def test_the_labels_of_the_phantom_are_those_of_the_taxonomy():
    for percentages in PROFILES.values():
        assert percentages.keys() <= set(MARROW49.labels)


def test_cross_validated_f1_of_the_phantom_patients_is_at_least_0_97(trained):
    report, model = trained
    assert model.classes == tuple(sorted(PROFILES))
    assert report.figures.macro_f1 >= 0.97
    assert min(report.figures.f1.values()) >= 0.95
    assert report.figures.unfamiliar <= 0.01


def test_every_diagnosis_that_is_named_is_nearly_always_the_right_one(suggestions):
    named = [(true, found.diagnosis) for true, found in suggestions if found.diagnosis is not None]
    right = sum(true == diagnosis for true, diagnosis in named)
    assert len(named) >= 0.95 * PATIENTS
    assert right >= 0.97 * len(named)


def test_rules_and_model_hardly_ever_disagree_on_the_phantom(suggestions):
    states = Counter(found.status for _, found in suggestions)
    assert states[Status.SUGGESTED] >= 0.9 * PATIENTS


def test_patients_without_any_diagnosis_of_the_training_are_turned_away(trained):
    rule_sets = [load_rules(name) for name in DEFAULT_RULE_SETS]
    for counts in ({"plasma_cell": 400, "lymphocyte": 100, "monocyte": 50}, {"lymphocyte": 480, "prolymphocyte": 60}):
        found = suggest(differential(counts, MARROW49), rule_sets=rule_sets, model=trained[1])
        assert found.status is Status.UNCLASSIFIED
