import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marrow_models.diagnosis.differential import Specimen
from marrow_models.diagnosis.measures import MEASURES
from marrow_models.diagnosis.rules import (
    DEFAULT_RULE_SETS,
    NdcUse,
    RuleKind,
    Severity,
    built_in_rules,
    load_rules,
    parse_rules,
)
from marrow_models.errors import UserError

RULE = {
    "id": "my.blasts20",
    "title": "Blasts",
    "measure": "blasts",
    "at_least": 20,
    "criterion": "threshold of mine",
    "basis": "because",
    "source": "a paper",
    "severity": "alert",
}
LIMIT = {
    "id": "my.limit",
    "specimen": "bone_marrow",
    "use": "precise",
    "cells": 500,
    "criterion": "mine",
    "basis": "because",
    "source": "a paper",
}


def content(*rules, **top):
    made = {"name": "mine", "version": "1", "title": "Mine", "source": "here", "specimens": ["bone_marrow"]}
    return copy.deepcopy(made | {"limits": [LIMIT], "rules": list(rules)} | top)


def rule_of(rule_set, rule_id):
    return next(rule for rule in load_rules(rule_set).rules if rule.id == rule_id)


@pytest.mark.parametrize("name", built_in_rules())
def test_every_rule_says_on_what_it_is_based_and_carries_the_name_of_its_set(name):
    rules = load_rules(name)
    assert rules.label == f"{name}@{rules.version}"
    for item in (*rules.rules, *rules.limits):
        assert item.basis
        assert item.source
        assert item.id.startswith(f"{name}.")


def test_icsh_asks_for_500_cells_300_where_not_essential_and_200_in_blood():
    icsh = load_rules("icsh2008")
    assert icsh.limit(Specimen.BONE_MARROW, NdcUse.PRECISE).cells == 500
    assert icsh.limit(Specimen.BONE_MARROW, NdcUse.NOT_ESSENTIAL).cells == 300
    assert icsh.limit(Specimen.BLOOD, NdcUse.PRECISE).cells == 200


def test_a_classification_gives_no_counting_limit():
    assert load_rules("who5").limit(Specimen.BONE_MARROW, NdcUse.PRECISE) is None


@pytest.mark.parametrize(
    ("rule_set", "rule_id", "measure", "at_least", "below"),
    [
        ("who5", "who5.aml.blasts20", "non_lymphoid_blasts", 20, None),
        ("who5", "who5.mds.ib2", "non_lymphoid_blasts", 10, 20),
        ("who5", "who5.mds.ib1", "non_lymphoid_blasts", 5, 10),
        ("who5", "who5.all.blasts25", "lymphoid_blasts", 25, None),
        ("who5", "who5.cml.blast_phase20", "blasts", 20, None),
        ("who5", "who5.plasma10", "plasma_cell", 10, None),
        ("icc2022", "icc2022.aml.blasts20", "non_lymphoid_blasts", 20, None),
        ("icc2022", "icc2022.aml.genetics10", "non_lymphoid_blasts", 10, None),
        ("icc2022", "icc2022.mds_aml", "non_lymphoid_blasts", 10, 20),
        ("icsh2008", "icsh2008.blasts5", "blasts", 5, None),
    ],
)
def test_the_thresholds_are_those_of_the_classifications(rule_set, rule_id, measure, at_least, below):
    rule = rule_of(rule_set, rule_id)
    assert (rule.measure, rule.at_least, rule.below) == (measure, at_least, below)


def test_the_two_classifications_disagree_on_10_to_19_percent():
    assert rule_of("who5", "who5.aml.blasts20").required_for == ("AML",)
    assert rule_of("icc2022", "icc2022.aml.genetics10").required_for == ("AML",)


def test_every_reference_range_is_of_adults():
    for name in built_in_rules():
        for rule in load_rules(name).rules:
            if rule.kind is RuleKind.REFERENCE:
                assert rule.age_from_years == 18


def test_the_default_sets_exist_and_one_of_them_limits_the_count():
    sets = [load_rules(name) for name in DEFAULT_RULE_SETS]
    assert any(rules.limit(Specimen.BONE_MARROW, NdcUse.PRECISE) for rules in sets)


def test_no_rule_speaks_of_a_result_of_diagnosis():
    for name in built_in_rules():
        for rule in load_rules(name).rules:
            assert "result" not in f"{rule.criterion} {rule.caveat}".lower()


def test_a_rule_set_of_a_laboratory_loads_by_path(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content(RULE)))
    rules = load_rules(path)
    assert rules.label == "mine@1"
    assert rules.rules[0].severity is Severity.ALERT
    assert rules == load_rules(str(path))
    assert rules.digest == parse_rules(content(RULE), "x").digest
    assert rules.digest != parse_rules(content(RULE | {"at_least": 21}), "x").digest


@pytest.mark.parametrize("name", ["who4", "none.json", ""])
def test_a_rule_set_that_is_not_there_is_a_user_error(name):
    with pytest.raises(UserError):
        load_rules(name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"measure": "happiness"}, "measure must be one of"),
        ({"at_least": 101}, "at_least must be a number from 0 to 100"),
        ({"at_least": "20"}, "at_least must be a number"),
        ({"below": 20}, "higher than at_least"),
        ({"below": 10}, "higher than at_least"),
        ({"below": 30, "up_to": 40}, "not both"),
        ({"severity": "panic"}, "severity must be one of"),
        ({"kind": "guess"}, "kind must be one of"),
        ({"kind": "reference", "up_to": 30}, "needs age_from_years"),
        ({"required_for": "AML"}, "required_for must be a list"),
        ({"criterion": ""}, "criterion must be a text"),
        ({"source": None}, "source must be a text"),
        ({"age_from_years": -1}, "age_from_years must be a number"),
        ({"typo": 1}, "unknown member typo"),
    ],
)
def test_a_rule_that_is_not_sound_is_refused_with_its_id(change, words):
    with pytest.raises(UserError, match=words) as caught:
        parse_rules(content(RULE | change), "mine.json")
    assert str(caught.value).startswith("mine.json: rule 1")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (content(RULE, RULE), "my.blasts20 is given twice"),
        (content(RULE | {"id": "my.limit"}), "my.limit is given twice"),
        (content(limits=[LIMIT, LIMIT | {"id": "other"}]), "two limits for the same specimen and use"),
        (content(limits=[LIMIT | {"cells": 0}]), "cells must be a whole number"),
        (content(limits=[LIMIT | {"use": "fun"}]), "use must be one of"),
        (content(RULE, specimens=["spleen"]), "specimen must be one of"),
        (content(RULE, name="A B"), "name 'A B'"),
        (content(RULE, rules=None), "rules must be a list"),
        (content(RULE, version=""), "version must be a text"),
    ],
)
def test_a_set_that_is_not_sound_is_refused_with_the_cause(made, words):
    with pytest.raises(UserError, match=words):
        parse_rules(made, "mine.json")


rubbish = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(RULE)), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200)
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys((*RULE, "below", "up_to", "kind", "only_for"), rubbish)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("rules", "limits", "specimens", "name"), rubbish)),
)
def test_rubbish_is_refused_with_a_user_error_and_never_crashes(rule, top):
    try:
        rules = parse_rules(content(RULE | rule) | top, "mine.json")
    except UserError:
        return
    assert all(r.measure in MEASURES for r in rules.rules)
