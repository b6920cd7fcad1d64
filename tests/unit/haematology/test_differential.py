import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.diagnosis.differential import MeConvention, Specimen, differential
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

from .patients import MARROW49

counts_of_labels = st.dictionaries(st.sampled_from(MARROW49.labels), st.integers(0, 5000))

MIXED = {
    "myelocytic_blast": 10,
    "monocytic_blast": 4,
    "lymphocytic_blast": 3,
    "unknown_blast": 2,
    "myeloid_precursor_cell": 1,
    "lymphoid_precursor_cell": 5,
    "promyelocyte": 10,
    "neutrophilic_myelocyte": 20,
    "neutrophilic_metamyelocyte": 30,
    "neutrophilic_band": 40,
    "segmented_neutrophil": 60,
    "promonocyte": 5,
    "monocyte": 10,
    "lymphocyte": 25,
    "plasma_cell": 5,
    "proerythroblast": 10,
    "polychromatic_erythroblast": 60,
    "megakaryocyte": 7,
    "smudge_cell": 30,
    "mitosis": 2,
    "erythrocyte": 900,
    "artifact": 11,
}


def test_only_the_cells_of_the_differential_are_its_denominator():
    d = differential(MIXED, MARROW49)
    assert d.total == 300
    assert sum(part.count for part in d.categories.values()) == 300
    assert {part.total for part in d.categories.values()} == {300}


def test_what_is_excluded_is_reported_apart():
    d = differential(MIXED, MARROW49)
    assert d.excluded == {"megakaryocyte": 7, "smudge": 30, "mitosis": 2, "erythrocyte": 900, "artefact": 11}
    assert d.smudge_ratio == pytest.approx(0.1)


def test_physiological_precursors_stand_where_icsh_puts_them():
    d = differential(MIXED, MARROW49)
    assert d.categories["blast"].count == 20
    assert d.categories["lymphocyte"].count == 30  # 25 lymphocytes and 5 lymphoid precursors, which are no blasts
    assert d.blasts.physiological == 1


def test_blasts_are_split_by_lineage():
    d = differential(MIXED, MARROW49)
    assert d.blasts.by_lineage == {"myeloid": 11, "monocytic": 4, "lymphoid": 3, "unknown": 2}
    assert d.blasts.share == d.categories["blast"]


def test_blast_equivalents_count_as_blasts_only_where_chosen():
    plain = differential(MIXED, MARROW49)
    chosen = differential(MIXED, MARROW49, blast_equivalents=["promonocyte"])
    assert (plain.blasts.share.count, plain.blasts.equivalents, plain.blasts.equivalents_left_out) == (20, 0, 5)
    assert (chosen.blasts.share.count, chosen.blasts.equivalents, chosen.blasts.equivalents_left_out) == (25, 5, 0)
    assert chosen.blasts.by_lineage["monocytic"] == 9
    assert chosen.categories == plain.categories


@pytest.mark.parametrize("label", ["monocyte", "proerythroblast", "micromegakaryocyte", "myelocytic_blast"])
def test_what_is_no_blast_equivalent_cannot_be_counted_as_one(label):
    with pytest.raises(UserError, match="not a blast equivalent"):
        differential(MIXED, MARROW49, blast_equivalents=[label])


def test_me_is_granulocytes_monocytes_and_precursors_to_erythroblasts():
    d = differential(MIXED, MARROW49)
    assert d.myeloid == 10 + 4 + 1 + 10 + 20 + 30 + 40 + 60 + 5 + 10
    assert d.erythroid == 70
    assert d.me_ratio == pytest.approx(190 / 70)
    assert "ICSH" in d.me_convention
    assert d.me_interval is not None
    assert d.me_interval.low < d.me_ratio < d.me_interval.high


def test_the_other_convention_leaves_the_monocytic_line_out_and_says_so():
    d = differential(MIXED, MARROW49, me_convention=MeConvention.GRANULOCYTES)
    assert d.myeloid == 190 - 4 - 5 - 10
    assert "without monocytes" in d.me_convention


def test_there_is_no_me_without_erythroblasts():
    d = differential({"segmented_neutrophil": 10}, MARROW49)
    assert d.me_ratio is None
    assert d.me_interval is None


def test_lymphocytes_plasma_cells_and_lymphoid_blasts_take_no_part_in_me():
    cells = {"lymphocyte": 50, "plasma_cell": 20, "lymphocytic_blast": 30, "proerythroblast": 10}
    assert differential(cells, MARROW49).myeloid == 0


def test_the_order_of_a_report_is_that_of_icsh():
    assert tuple(differential({}, MARROW49).categories) == MARROW49.categories


def test_a_laboratory_that_counts_lymphoid_precursors_as_blasts_gets_them_there():
    d = differential(MIXED, MARROW49.with_alternatives(["lymphoid_precursor_cell"]))
    assert d.categories["blast"].count == 25
    assert d.blasts.by_lineage["lymphoid"] == 8
    assert d.taxonomy_digest != MARROW49.digest


def test_granulocytic_immaturity_compares_young_with_mature_cells():
    d = differential(MIXED, MARROW49)
    assert d.granulocytic_immaturity == pytest.approx((11 + 10 + 20 + 30) / 100)
    assert differential({"promyelocyte": 3}, MARROW49).granulocytic_immaturity is None


# --- blood -------------------------------------------------------------------------------------------------


def test_in_blood_nucleated_red_cells_are_outside_the_denominator_and_given_per_100_leucocytes():
    blood18 = load_taxonomy("blood18")
    d = differential({"lymphocyte": 50, "neutrophil_segmented": 150, "normoblast": 24}, blood18, specimen="blood")
    assert d.total == 200
    assert d.nrbc == 24
    assert d.nrbc_per_100_wbc == pytest.approx(12.0)
    assert "erythroblast" not in d.categories
    assert d.percent("erythroblast") == 0.0
    assert d.percent("lymphocyte") == 25.0
    assert (d.me_ratio, d.erythroid) == (None, 0)


def test_in_marrow_the_same_cells_are_in_the_denominator():
    d = differential({"lymphocyte": 50, "neutrophil_segmented": 150, "normoblast": 50}, load_taxonomy("blood18"))
    assert (d.total, d.nrbc, d.nrbc_per_100_wbc) == (250, None, None)
    assert d.percent("erythroblast") == 20.0


@pytest.mark.parametrize("specimen", ["trephine", "", "Blood", "bone marrow"])
def test_an_unknown_specimen_is_refused_with_the_known_ones(specimen):
    with pytest.raises(UserError, match="bone_marrow, blood"):
        differential({}, MARROW49, specimen=specimen)


# --- properties and input ----------------------------------------------------------------------------------


@given(counts_of_labels, st.sampled_from(Specimen))
def test_percentages_of_a_differential_add_up_to_100_or_nothing_was_counted(counts, specimen):
    d = differential(counts, MARROW49, specimen=specimen)
    tenths = sum(round(10 * part.percent) for part in d.categories.values())
    assert tenths == (1000 if d.total else 0)


@given(counts_of_labels, st.sampled_from(Specimen))
def test_no_cell_is_lost_or_counted_twice(counts, specimen):
    d = differential(counts, MARROW49, specimen=specimen)
    assert d.total + sum(d.excluded.values()) + (d.nrbc or 0) == sum(counts.values())
    assert d.labels == {label: counts[label] for label in MARROW49.labels if counts.get(label)}
    assert sum(d.blasts.by_lineage.values()) == d.blasts.share.count


@given(counts_of_labels)
def test_the_order_in_which_labels_are_given_does_not_matter(counts):
    assert differential(counts, MARROW49) == differential(dict(reversed(counts.items())), MARROW49)


def test_an_empty_slide_has_a_differential_without_numbers():
    d = differential({}, MARROW49)
    assert (d.total, d.smudge_ratio, d.me_ratio, d.blasts.share.count) == (0, None, None, 0)
    assert d.blasts.share.interval.high == 100.0


def test_counts_may_be_numpy_integers():
    assert differential({"monocyte": np.int64(4)}, MARROW49).total == 4


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"lymphoblast": 3}, "no label 'lymphoblast'"),
        ({"monocyte": -1}, "cannot be negative"),
        ({"monocyte": 1.5}, "whole number"),
        ({"monocyte": "3"}, "whole number"),
        ({"monocyte": None}, "whole number"),
    ],
)
def test_counts_that_cannot_be_are_refused(counts, words):
    with pytest.raises(UserError, match=words):
        differential(counts, MARROW49)
