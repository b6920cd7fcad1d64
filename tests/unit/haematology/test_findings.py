import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.diagnosis.differential import differential
from marrow_models.diagnosis.findings import FindingState, apply_rules
from marrow_models.diagnosis.intervals import wilson_interval
from marrow_models.diagnosis.rules import built_in_rules, load_rules
from marrow_models.taxonomy import load_taxonomy

from .patients import MARROW49

MET, NOT_MET, NEAR = FindingState.MET, FindingState.NOT_MET, FindingState.NEAR


def findings(counts, rule_set, **more):
    found = apply_rules(differential(counts, MARROW49), load_rules(rule_set), **more)
    return {finding.rule_id: finding for finding in found}


def of(label, count, total):
    """``count`` cells of ``label`` among ``total``; the rest are segmented neutrophils and erythroblasts."""
    rest = total - count
    return {label: count, "segmented_neutrophil": rest - rest // 4, "polychromatic_erythroblast": rest // 4}


def first_met(label, total, threshold):
    """The smallest count whose whole interval is at or above the threshold."""
    return next(n for n in range(total) if wilson_interval(n, total).low >= threshold)


def last_not_met(total, threshold):
    """The largest count whose whole interval is below the threshold."""
    return max(n for n in range(total) if wilson_interval(n, total).high < threshold)


THRESHOLDS = [
    ("icsh2008", "icsh2008.blasts5", "myelocytic_blast", 5),
    ("who5", "who5.aml.blasts20", "myelocytic_blast", 20),
    ("who5", "who5.aml.blasts20", "monocytic_blast", 20),
    ("who5", "who5.aml.blasts20", "unknown_blast", 20),
    ("who5", "who5.aml.blasts20", "myeloid_precursor_cell", 20),
    ("who5", "who5.aml.equivalents20", "promonocyte", 20),
    ("who5", "who5.all.blasts25", "lymphocytic_blast", 25),
    ("who5", "who5.plasma10", "plasma_cell", 10),
    ("icc2022", "icc2022.aml.blasts20", "myelocytic_blast", 20),
    ("icc2022", "icc2022.aml.genetics10", "myelocytic_blast", 10),
    ("icc2022", "icc2022.all.blasts25", "lymphocytic_blast", 25),
    ("icc2022", "icc2022.plasma10", "plasma_cell", 10),
]


@pytest.mark.parametrize(("rule_set", "rule_id", "label", "threshold"), THRESHOLDS)
@pytest.mark.parametrize("total", [500, 1000])
def test_a_threshold_is_met_near_or_not_met_by_its_interval(rule_set, rule_id, label, threshold, total):
    def finding(count):
        return findings(of(label, count, total), rule_set)[rule_id]

    exact = threshold * total // 100
    lowest_met, highest_not = first_met(label, total, threshold), last_not_met(total, threshold)
    assert (finding(exact).holds, finding(exact).state) == (True, NEAR)
    assert (finding(exact - 1).holds, finding(exact - 1).state) == (False, NEAR)
    assert (finding(lowest_met).state, finding(lowest_met - 1).state) == (MET, NEAR)
    assert (finding(highest_not).state, finding(highest_not + 1).state) == (NOT_MET, NEAR)


def test_the_thresholds_above_are_all_that_the_classifications_have():
    ranges = {"who5.mds.ib1", "who5.mds.ib2", "icc2022.mds_aml", "who5.cml.blast_phase20"}
    tested = {rule_id for _, rule_id, _, _ in THRESHOLDS} | ranges
    assert tested == {r.id for name in ("icsh2008", "who5", "icc2022") for r in load_rules(name).rules}


@pytest.mark.parametrize(
    ("rule_set", "rule_id", "count", "holds", "state"),
    [
        ("who5", "who5.mds.ib2", 300, True, MET),
        ("who5", "who5.mds.ib2", 200, True, NEAR),
        ("who5", "who5.mds.ib2", 199, False, NEAR),
        ("who5", "who5.mds.ib2", 399, True, NEAR),
        ("who5", "who5.mds.ib2", 400, False, NEAR),
        ("who5", "who5.mds.ib2", 600, False, NOT_MET),
        ("who5", "who5.mds.ib2", 100, False, NOT_MET),
        ("who5", "who5.mds.ib1", 150, True, MET),
        ("who5", "who5.mds.ib1", 100, True, NEAR),
        ("who5", "who5.mds.ib1", 199, True, NEAR),
        ("who5", "who5.mds.ib1", 200, False, NEAR),
        ("who5", "who5.mds.ib1", 20, False, NOT_MET),
        ("icc2022", "icc2022.mds_aml", 300, True, MET),
        ("icc2022", "icc2022.mds_aml", 400, False, NEAR),
    ],
)
def test_a_range_holds_its_lower_limit_and_not_its_upper(rule_set, rule_id, count, holds, state):
    finding = findings(of("myelocytic_blast", count, 2000), rule_set)[rule_id]
    assert (finding.holds, finding.state) == (holds, state)


def test_a_finding_can_be_checked_against_the_counts():
    counts = of("myelocytic_blast", 300, 479) | {"monocytic_blast": 21}
    finding = findings(counts, "who5")["who5.aml.blasts20"]
    assert finding.text == (
        "Blasts 64.2 % (321 of 500; 95 % interval 59.9-68.3): at or above the 20 % threshold of WHO-5 for AML; "
        "genetics and flow cytometry decide"
    )
    assert (finding.state, finding.rule_set) == (MET, "who5@1.0.0")


def test_near_a_threshold_more_cells_are_asked_for():
    text = findings(of("myelocytic_blast", 95, 500), "who5")["who5.aml.blasts20"].text
    assert text.startswith("Blasts 19.0 % (95 of 500; 95 % interval 15.8-22.7): below the 20 % threshold")
    assert "the interval crosses it: count more cells" in text


def test_lymphoid_blasts_are_not_held_against_the_threshold_of_aml():
    found = findings(of("lymphocytic_blast", 400, 500), "who5")
    assert found["who5.aml.blasts20"].state is NOT_MET
    assert found["who5.aml.blasts20"].text.startswith("Blasts other than lymphoid 0.0 % (0 of 500")
    assert found["who5.all.blasts25"].state is MET


def test_physiological_lymphoid_precursors_are_no_blasts():
    found = findings(of("lymphoid_precursor_cell", 400, 500), "who5")
    assert not any(finding.holds for finding in found.values())


def test_rounding_never_puts_the_number_shown_on_the_other_side_of_the_threshold():
    finding = findings(of("myelocytic_blast", 1999, 10_000), "who5")["who5.aml.blasts20"]
    assert not finding.holds
    assert (
        "Blasts 19.990 % (1999 of 10000" in findings(of("myelocytic_blast", 1999, 10_000), "who5")[finding.rule_id].text
    )


def test_without_equivalents_there_is_nothing_to_say_of_them():
    assert "who5.aml.equivalents20" not in findings(of("myelocytic_blast", 300, 500), "who5")


def test_promonocytes_may_carry_a_count_over_the_threshold():
    counts = of("myelocytic_blast", 80, 400) | {"promonocyte": 100}
    found = findings(counts, "who5")
    assert not found["who5.aml.blasts20"].holds
    assert found["who5.aml.equivalents20"].state is MET
    assert "(180 of 500" in found["who5.aml.equivalents20"].text


def test_the_blast_phase_is_only_spoken_of_where_cml_is_suggested():
    counts = of("myelocytic_blast", 300, 500)
    assert "who5.cml.blast_phase20" not in findings(counts, "who5")
    assert "who5.cml.blast_phase20" not in findings(counts, "who5", suggested="AML")
    assert findings(counts, "who5", suggested="CML")["who5.cml.blast_phase20"].state is MET


# --- reference ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [None, 0, 5, 17.9, float("nan")])
def test_no_adult_range_is_applied_to_a_child_or_to_an_unknown_age(age):
    assert not findings(of("monocyte", 20, 500), "adult_reference", age_years=age)


def test_an_adult_is_compared_with_adults():
    found = findings(of("monocyte", 400, 1000), "adult_reference", age_years=18)
    assert found["adult_reference.monocytes"].state is NOT_MET
    assert found["adult_reference.monocytes"].text == (
        "Monocytes 40.0 % (400 of 1000; 95 % interval 37.0-43.1): outside the 1 to 5 % reference range of adults"
    )


@pytest.mark.parametrize(
    ("count", "holds", "state"),
    [
        (60, True, MET),
        (20, True, NEAR),
        (100, True, NEAR),
        (101, False, NEAR),
        (19, False, NEAR),
        (300, False, NOT_MET),
    ],
)
def test_a_reference_range_holds_both_its_limits(count, holds, state):
    finding = findings(of("segmented_eosinophil", count, 2000), "adult_reference", age_years=40)[
        "adult_reference.eosinophils"
    ]
    assert (finding.holds, finding.state) == (holds, state)
    assert "count more cells" not in finding.text


def test_none_at_all_is_within_a_range_from_zero():
    finding = findings(of("monocyte", 20, 500), "adult_reference", age_years=40)["adult_reference.basophils"]
    assert finding.state is MET


def test_me_is_given_as_a_ratio_of_counts():
    counts = {"segmented_neutrophil": 300, "polychromatic_erythroblast": 100}
    finding = findings(counts, "adult_reference", age_years=40)["adult_reference.me"]
    assert finding.text.startswith("M:E 3.0 (300 to 100; 95 % interval 2.4-3.8): within the 2 to 4 reference range")


def test_without_erythroblasts_there_is_no_finding_on_me():
    assert "adult_reference.me" not in findings({"monocyte": 500}, "adult_reference", age_years=40)


# --- where rules do not apply ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", built_in_rules())
def test_no_marrow_rule_is_applied_to_blood(name):
    blood = differential({"myeloblast": 300, "lymphocyte": 100}, load_taxonomy("blood18"), specimen="blood")
    assert apply_rules(blood, load_rules(name), age_years=40) == []


@pytest.mark.parametrize("name", built_in_rules())
def test_where_nothing_was_counted_nothing_is_found(name):
    assert apply_rules(differential({"erythrocyte": 99}, MARROW49), load_rules(name), age_years=40) == []


@given(
    st.dictionaries(st.sampled_from(MARROW49.labels), st.integers(0, 400), min_size=1),
    st.sampled_from(built_in_rules()),
)
def test_every_number_of_a_finding_is_that_of_the_counts(counts, name):
    made = differential(counts, MARROW49)
    for finding in apply_rules(made, load_rules(name), age_years=40):
        numbers = re.search(r"([\d.]+)( %)? \((\d+) (of|to) (\d+); 95 % interval ([\d.]+)-([\d.]+|inf)\)", finding.text)
        value, percent, count, _, other, low, high = numbers.groups()
        exact = (100 if percent else 1) * int(count) / int(other)
        assert abs(float(value) - exact) <= 0.1
        assert int(other) == (made.total if percent else made.erythroid)
        assert float(low) - 0.06 <= exact <= float(high) + 0.06
        assert (finding.state is NEAR) == ("crosses" in finding.text)
