import copy
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from marrow_models.diagnosis.differential import differential
from marrow_models.diagnosis.rules import DEFAULT_RULE_SETS, NdcUse, load_rules
from marrow_models.diagnosis.suggest import Status, suggest
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

from .patients import MARROW49, SHARES, small_model, typical

RULE_SETS = tuple(load_rules(name) for name in DEFAULT_RULE_SETS)


def suggestion(counts, **more):
    arguments = {"rule_sets": RULE_SETS, "model": small_model()}
    return suggest(differential(counts, MARROW49), **(arguments | more))


@pytest.mark.parametrize("diagnosis", SHARES)
def test_a_typical_patient_gets_the_suggestion_with_its_reasons(diagnosis):
    found = suggestion(typical(diagnosis))
    assert (found.status, found.diagnosis) == (Status.SUGGESTED, diagnosis)
    assert found.probability == max(found.probabilities.values()) > 0.9
    assert found.reasons[0].startswith(f"The model suggests {diagnosis} with a probability")
    assert found.rule_sets == ("icsh2008@1.0.0", "who5@1.0.0", "adult_reference@1.0.0")


@pytest.mark.parametrize("diagnosis", SHARES)
def test_a_suggestion_never_speaks_of_a_result_or_of_certainty(diagnosis):
    text = " ".join(suggestion(typical(diagnosis)).reasons).lower()
    assert "result" not in text
    assert "diagnosed" not in text
    assert "1.00" not in text


# --- too few cells -----------------------------------------------------------------------------------------


def cut(counts, total):
    """The counts with the lymphocytes changed so that ``total`` cells are in the differential."""
    return counts | {"lymphocyte": counts["lymphocyte"] + total - differential(counts, MARROW49).total}


def test_below_500_cells_the_suggestion_is_insufficient_and_says_how_many_are_missing():
    found = suggestion(cut(typical("AML", 480), 488))
    assert (found.status, found.diagnosis, found.probability, found.probabilities) == ("insufficient", None, None, {})
    assert found.reasons[0] == (
        "488 cells were counted; 500 are needed (ICSH 2008 where a precise percentage of an abnormal cell type is "
        "required): 12 more cells."
    )


@pytest.mark.parametrize(
    ("total", "use", "status"),
    [
        (499, NdcUse.PRECISE, Status.INSUFFICIENT),
        (500, NdcUse.PRECISE, Status.SUGGESTED),
        (299, NdcUse.NOT_ESSENTIAL, Status.INSUFFICIENT),
        (300, NdcUse.NOT_ESSENTIAL, Status.SUGGESTED),
    ],
)
def test_the_limit_depends_on_the_use(total, use, status):
    assert suggestion(cut(typical("AML", total - 5), total), use=use).status is status


def test_excluded_cells_do_not_make_up_for_missing_ones():
    assert suggestion(cut(typical("AML", 480), 499) | {"smudge_cell": 400}).status is Status.INSUFFICIENT


def test_the_findings_are_given_also_where_too_few_cells_were_counted():
    found = suggestion(typical("AML", 300))
    assert any("threshold of WHO-5 for AML" in reason for reason in found.reasons)


def test_an_empty_slide_lacks_all_cells_and_has_no_finding():
    found = suggestion({})
    assert found.status is Status.INSUFFICIENT
    assert found.reasons[0].endswith("500 more cells.")
    assert (len(found.reasons), found.findings) == (1, ())


def test_without_a_counting_limit_nothing_is_suggested():
    with pytest.raises(UserError, match="add icsh2008"):
        suggestion(typical("AML"), rule_sets=[load_rules("who5")])
    with pytest.raises(UserError, match="add icsh2008"):
        suggestion(typical("AML"), rule_sets=[])


# --- doubt -------------------------------------------------------------------------------------------------


def test_what_is_unlike_the_training_is_unclassified_whatever_the_model_would_say():
    found = suggestion({"plasma_cell": 400, "lymphocyte": 200})
    assert (found.status, found.diagnosis, found.probability, found.probabilities) == ("unclassified", None, None, {})
    assert "unlike any that the model was trained on" in found.reasons[0]
    assert "plasma cell (66.7 %)" in found.reasons[0]
    assert any("10 % threshold for a plasma-cell neoplasm" in reason for reason in found.reasons)


def test_where_no_diagnosis_is_probable_enough_none_is_named_but_all_are_given():
    found = suggestion(typical("AML"), model=replace(small_model(), least_probability=0.99999))
    assert (found.status, found.diagnosis, found.probability) == ("unclassified", None, None)
    assert found.probabilities.keys() == SHARES.keys()
    assert "AML comes first" in found.reasons[0]


# --- contradiction -----------------------------------------------------------------------------------------


def blasts(label, count, total=1000):
    """A normal marrow in which ``count`` of ``total`` cells are ``label``."""
    others = {k: v for k, v in typical("normal", total - count).items() if k != "myeloid_precursor_cell"}
    return cut(others | {label: count}, total)


def always(diagnosis):
    """A model that names one diagnosis for anything, so that the rules alone are tried."""
    model = small_model()
    logistic = copy.copy(model.pipeline.named_steps["logistic"])
    logistic.coef_ = np.zeros_like(logistic.coef_)
    logistic.intercept_ = 9.0 * (logistic.classes_ == diagnosis)
    pipeline = Pipeline([("scale", model.pipeline.named_steps["scale"]), ("logistic", logistic)])
    return replace(model, pipeline=pipeline, novelty=replace(model.novelty, limit=1e9))


@pytest.mark.parametrize(
    ("says", "counts", "status", "rule_id"),
    [
        ("AML", blasts("myelocytic_blast", 90), Status.REVIEW, "who5.aml.blasts20"),
        ("AML", blasts("myelocytic_blast", 199), Status.REVIEW, "who5.aml.blasts20"),
        ("AML", blasts("myelocytic_blast", 200), Status.SUGGESTED, None),
        ("AML", blasts("lymphocytic_blast", 600), Status.REVIEW, "who5.aml.blasts20"),
        ("ALL", blasts("lymphocytic_blast", 249), Status.REVIEW, "who5.all.blasts25"),
        ("ALL", blasts("lymphocytic_blast", 250), Status.SUGGESTED, None),
        ("normal", blasts("myelocytic_blast", 10), Status.SUGGESTED, None),
        ("normal", blasts("myelocytic_blast", 55), Status.SUGGESTED, None),
        ("normal", blasts("myelocytic_blast", 90), Status.REVIEW, "icsh2008.blasts5"),
        ("normal", blasts("myelocytic_blast", 300), Status.REVIEW, "who5.aml.blasts20"),
        ("normal", blasts("lymphocytic_blast", 300), Status.REVIEW, "who5.all.blasts25"),
        ("normal", blasts("lymphoid_precursor_cell", 300), Status.SUGGESTED, None),
        ("normal", blasts("plasma_cell", 130), Status.REVIEW, "who5.plasma10"),
        ("CML", blasts("myelocytic_blast", 30), Status.SUGGESTED, None),
        ("CML", blasts("myelocytic_blast", 300), Status.REVIEW, "who5.cml.blast_phase20"),
    ],
)
def test_where_rules_and_model_disagree_a_person_has_to_look(says, counts, status, rule_id):
    found = suggestion(counts, model=always(says))
    assert (found.status, found.diagnosis) == (status, says)
    against = [reason for reason in found.reasons if reason.startswith("Contradiction")]
    assert bool(against) == (status is Status.REVIEW)
    assert rule_id is None or any(rule_id in reason for reason in against)


def test_icc_asks_for_less_blasts_than_who():
    counts, icsh = blasts("myelocytic_blast", 150), load_rules("icsh2008")
    who = suggestion(counts, model=always("AML"), rule_sets=[icsh, load_rules("who5")])
    icc = suggestion(counts, model=always("AML"), rule_sets=[icsh, load_rules("icc2022")])
    assert (who.status, icc.status) == (Status.REVIEW, Status.SUGGESTED)


# --- classes that make no sense ----------------------------------------------------------------------------


def without_nucleus(odd, cells):
    """What is said of ``odd`` of ``cells`` cells."""
    return (
        f"The classes are not to be trusted: {odd} of {cells} cells that were detected as nucleated are classified as "
        "platelets or red cells. The stain or the scanner may be unlike those of the training."
    )


def test_where_nucleated_cells_are_classified_as_platelets_nothing_is_suggested():
    counts = typical("AML") | {"thrombocyte": 60, "giant_platelet": 10, "erythrocyte": 20}
    found = suggestion(counts)
    assert (found.status, found.diagnosis, found.probabilities) == (Status.UNCLASSIFIED, None, {})
    assert found.reasons[0] == without_nucleus(90, differential(counts, MARROW49).total + 90)
    assert found.findings


def test_a_platelet_taken_for_a_nucleated_cell_now_and_then_spoils_no_suggestion():
    assert suggestion(typical("AML") | {"thrombocyte": 30}).status is Status.SUGGESTED
    # A share above the limit that may be chance: 4 of 64.
    few = suggestion(typical("AML", 60) | {"thrombocyte": 4}, use=NdcUse.PRECISE)
    assert "not to be trusted" not in " ".join(few.reasons)


@pytest.mark.parametrize(("specimen", "status"), [("blood", Status.NOT_APPLICABLE), ("bone_marrow", "insufficient")])
def test_classes_that_make_no_sense_are_named_whatever_else_stands_against_a_suggestion(specimen, status):
    counts = differential(
        {"platelet": 46, "eosinophil": 10, "erythroblast": 5}, load_taxonomy("pbc11"), specimen=specimen
    )
    found = suggest(counts, rule_sets=RULE_SETS, model=small_model())
    assert found.status == status
    assert found.reasons[1] == without_nucleus(46, 61)


# --- other specimens and ages ------------------------------------------------------------------------------


def test_nothing_is_suggested_from_blood():
    blood = differential({"myeloblast": 400, "lymphocyte": 200}, load_taxonomy("blood18"), specimen="blood")
    found = suggest(blood, rule_sets=RULE_SETS, model=small_model())
    assert (found.status, found.diagnosis, found.findings) == (Status.NOT_APPLICABLE, None, ())
    assert found.reasons == ("The specimen is blood: the rules and the model are for bone marrow.",)


@pytest.mark.parametrize(("age", "given"), [(None, False), (4, False), (17.9, False), (18, True), (70, True)])
def test_ranges_of_adults_are_for_adults(age, given):
    found = suggestion(typical("CML"), age_years=age)
    assert any("reference range of adults" in reason for reason in found.reasons) is given


# --- numbers -----------------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.sampled_from(MARROW49.labels), st.integers(0, 300), min_size=3),
    st.sampled_from([None, 3.0, 40.0]),
)
def test_every_number_in_the_reasons_is_that_of_the_counts(counts, age):
    made = differential(counts, MARROW49)
    found = suggestion(counts, age_years=age)
    assert found.status in set(Status)
    assert (found.diagnosis is not None) == (found.status in (Status.SUGGESTED, Status.REVIEW))
    for value, count, total in re.findall(r"([\d.]+) % \((\d+) of (\d+);", " ".join(found.reasons)):
        assert int(total) == made.total
        assert abs(float(value) - 100 * int(count) / made.total) <= 0.1
    for text in (reason for reason in found.reasons if reason.startswith("Plasma cells")):
        assert f"({made.categories['plasma_cell'].count} of {made.total};" in text
