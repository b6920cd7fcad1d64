"""Several raters, one label: the published rule, its defects, and votes as soft labels."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.datasets.consensus import (
    FREE_TEXT,
    NO_CONSENSUS,
    OTHER,
    UNLABELLED,
    Verdict,
    are_copies,
    consensus_of,
    label_of,
    settle,
    soft_labels,
    vote_of,
)
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

MARROW = load_taxonomy("marrow49")
A, B, C, D = "monocyte", "promyelocyte", "lymphocyte", "plasma_cell"


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ((), None),
        ((A,), None),
        ((A, A), A),
        ((A, B), None),
        ((A, B, A), A),
        ((B, A, A), A),
        ((A, B, C), None),
        ((A, B, C, A), A),
        ((A, B, A, B), None),
        ((A, B, C, D), None),
        ((A, B, C, D, A), None),
        ((A, B, C, A, A), A),
        ((OTHER, OTHER), None),
        ((OTHER, A, A), A),
        ((OTHER, A), None),
    ],
)
def test_a_label_needs_two_votes_half_of_all_and_the_first_place_alone(votes, expected):
    assert consensus_of(votes) == expected


@given(st.lists(st.sampled_from([A, B, C, D, OTHER]), max_size=5))
def test_no_other_label_ever_has_as_many_votes_as_the_consensus(votes):
    label, counts = consensus_of(votes), Counter(votes)
    if label is not None:
        assert 2 * counts[label] >= len(votes) >= 2
        assert all(counts[label] > count for other, count in counts.items() if other != label)
    elif len(votes) >= 2:
        best = max(counts.values())
        leaders = [vote for vote, count in counts.items() if count == best]
        assert len(leaders) > 1 or 2 * best < len(votes) or leaders == [OTHER]


@given(st.lists(st.sampled_from([A, B, C, OTHER]), max_size=5), st.randoms())
def test_the_order_of_the_votes_does_not_matter(votes, random):
    shuffled = list(votes)
    random.shuffle(shuffled)
    assert consensus_of(shuffled) == consensus_of(votes)


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        ("lymphoblast", "lymphoid_precursor_cell"),
        ("monoblast", "immature_monocyte"),
        ("immature_monoblast", "immature_monocyte"),
        ("myeloblast", "myeloid_precursor_cell"),
        ("lymphocytic_blast", "lymphocytic_blast"),
        ("other:Riesenthrombozyt", "giant_platelet"),
        ("other:Makrothrombozyt", "giant_platelet"),
        ("other:Hämophagozytose", "phagocytosis"),
        ("other:degranulierter Promyelozyt", "degranulated_neutrophilic_myelocyte"),
        ("other:basophiler Erythroblast", "basophilic_erythroblast"),
        ("other:Plasma eines Megakaryozyten", "damaged_cell"),
        ("annotation_error", "technically_unfit"),
        (" other:Zellhaufen ", "technically_unfit"),
        ("heamatological_structure", None),
        (UNLABELLED, None),
        (NO_CONSENSUS, None),
        ("other:Knochenbälkchen", None),
    ],
)
def test_raw_labels_mean_what_the_authors_say(raw, label):
    assert label_of(raw, MARROW) == label


@pytest.mark.parametrize("raw", ["other:Osteoblast", "other:osteoblast"])
def test_an_osteoblast_is_no_blast(raw):
    assert vote_of(raw, MARROW) == OTHER


def test_every_free_text_is_known_to_the_taxonomy():
    assert {MARROW.resolve(label) for label in FREE_TEXT.values()} <= {None, *MARROW.labels}
    assert all(text == text.casefold() for text in FREE_TEXT)


def test_a_published_label_that_nobody_knows_is_refused_by_name():
    with pytest.raises(UserError, match="neutrophile"):
        settle((), "neutrophile", MARROW)


def test_a_vote_that_nobody_knows_or_that_is_lost_is_other():
    assert [vote_of(raw, MARROW) for raw in ("neutrophile", None, "", NO_CONSENSUS)] == [OTHER] * 4


def test_the_published_consensus_counts_whatever_the_votes_are():
    verdict = settle(("monocyte", "monocyte"), "promonocyte", MARROW)
    assert verdict == Verdict("promonocyte", "promonocyte", ("monocyte", "monocyte"))


def test_an_object_that_the_consensus_lacks_is_settled_by_its_votes():
    verdict = settle(("lymphoblast", "lymphocyte", "lymphoid_precursor_cell"), None, MARROW)
    assert verdict.label == verdict.raw_label == "lymphoid_precursor_cell"
    assert verdict.recomputed
    assert verdict.votes == ("lymphoid_precursor_cell", "lymphocyte", "lymphoid_precursor_cell")


def test_an_object_without_agreement_has_no_class_and_says_so():
    for verdict in (settle((A, B), None, MARROW), settle((A, B), NO_CONSENSUS, MARROW)):
        assert (verdict.label, verdict.raw_label) == (None, NO_CONSENSUS)


def test_a_lost_vote_counts_against_the_others():
    assert settle((A, None, B, A), None, MARROW).label == A
    assert settle((A, None, B), None, MARROW).label is None
    assert settle((None, A), None, MARROW).votes == (OTHER, A)


def test_a_box_that_nobody_classified_keeps_its_raw_label():
    assert settle((), UNLABELLED, MARROW) == Verdict(None, UNLABELLED)


def test_copies_give_the_label_back_but_are_no_votes():
    verdict = settle((A, A, A), None, MARROW, trusted=False)
    assert (verdict.label, verdict.votes) == (A, ())


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([], False),
        ([()], False),
        ([(A, A), (B, B)], False),  # agreement at once is possible
        ([(A, A), (B, B, B)], True),
        ([(A, A), (B, B, B), (A, B, A)], False),
        ([(A, A), (NO_CONSENSUS,) * 2], True),
        ([(A, A), (None, B, B)], False),
    ],
)
def test_votes_are_copies_where_somebody_was_asked_for_nothing(votes, expected):
    assert are_copies(votes) is expected


def test_soft_labels_are_the_shares_of_the_votes():
    assert soft_labels((A, B, A, OTHER), MARROW) == {B: pytest.approx(1 / 3), A: pytest.approx(2 / 3)}


def test_soft_labels_are_in_the_order_of_the_taxonomy():
    labels = list(soft_labels((C, A, B), MARROW))
    assert labels == sorted(labels, key=MARROW.labels.index)


@pytest.mark.parametrize("votes", [(), (OTHER,), (OTHER, OTHER)])
def test_without_a_class_among_the_votes_there_are_no_soft_labels(votes):
    assert soft_labels(votes, MARROW) == {}


def test_soft_labels_speak_the_taxonomy_that_is_asked_for():
    blood = load_taxonomy("bmc21")
    known = [label for label in MARROW.labels if label in blood.labels]
    assert soft_labels((known[0], "pseudo_gaucher_cell"), blood) == {known[0]: 1.0}


@given(st.lists(st.sampled_from([*MARROW.labels, OTHER]), max_size=5))
def test_soft_labels_sum_to_one(votes):
    shares = soft_labels(votes, MARROW)
    assert sum(shares.values()) == pytest.approx(1.0 if set(votes) - {OTHER} else 0.0)
