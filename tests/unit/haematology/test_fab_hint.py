import pytest

from marrow_models.diagnosis.fab_hint import ATTRIBUTES, CRITERIA, HintState, fab_hint, score_cell
from marrow_models.diagnosis.intervals import wilson_interval
from marrow_models.errors import UserError

L1 = {"cell_size": "small", "nuclear_chromatin": "coarse", "nuclear_shape": "regular", "nucleus": "inconspicuous",
      "cytoplasm": "scanty", "cytoplasmic_basophilia": "slight", "cytoplasmic_vacuoles": "absent"}  # fmt: skip
L2 = L1 | {"cell_size": "large", "nuclear_shape": "irregular", "nucleus": "prominent", "cytoplasm": "abundant"}
L3 = {"cell_size": "large", "nuclear_chromatin": "open", "nuclear_shape": "regular", "nucleus": "prominent",
      "cytoplasm": "abundant", "cytoplasmic_basophilia": "moderate", "cytoplasmic_vacuoles": "prominent"}  # fmt: skip
TEXTBOOK = {"L1": L1, "L2": L2, "L3": L3}


def without(cell, *names):
    return {name: value for name, value in cell.items() if name not in names}


# --- one cell ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTBOOK)
def test_the_cell_of_the_textbook_meets_every_criterion_of_its_type(name):
    cell = score_cell(TEXTBOOK[name])
    assert cell.type == name
    assert cell.scores[name].score == 1.0
    assert set(cell.scores[name].fits) == set(CRITERIA[name])


def test_a_score_says_which_criteria_fit_which_do_not_and_which_are_unknown():
    score = score_cell(without(L1, "nucleus") | {"cytoplasm": "abundant"}).scores["L1"]
    assert score.fits == ("cell_size", "nuclear_shape")
    assert score.misses == ("cytoplasm",)
    assert score.unknown == ("nucleus",)
    assert score.score == pytest.approx(2 / 3)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("name", ["L1", "L3"])
def test_one_missing_attribute_changes_no_textbook_cell_unless_the_type_stands_on_it(name, attribute):
    decisive = name == "L3" and attribute in ("cytoplasmic_basophilia", "cytoplasmic_vacuoles")
    assert (score_cell(without(TEXTBOOK[name], attribute)).type == name) != decisive


@pytest.mark.parametrize("attribute", ["cell_size", "nuclear_shape", "nucleus"])
def test_l2_has_three_criteria_and_needs_all_of_them_known(attribute):
    assert score_cell(without(L2, attribute)).type != "L2"


@pytest.mark.parametrize(
    ("missing", "value"), [("cytoplasmic_vacuoles", "absent"), ("cytoplasmic_basophilia", "slight")]
)
def test_no_cell_is_l3_without_vacuoles_and_deep_basophilia(missing, value):
    assert score_cell(L3 | {missing: value}).type != "L3"


def test_a_cell_between_the_types_is_of_none():
    assert score_cell(L1 | {"cell_size": "medium", "nucleus": "prominent"}).type is None


def test_too_few_attributes_make_a_cell_not_count():
    cell = score_cell({"cell_size": "small", "nuclear_shape": "regular", "nucleus": "inconspicuous"})
    assert (cell.enough, cell.type, cell.known) == (False, None, 3)


def test_no_attribute_at_all_has_no_score():
    assert {score.score for score in score_cell({}).scores.values()} == {None}


def test_a_type_is_not_named_on_two_criteria():
    cell = score_cell({"cell_size": "small", "nuclear_shape": "regular", "nuclear_chromatin": "coarse",
                       "cytoplasmic_vacuoles": "absent"})  # fmt: skip
    assert (cell.enough, cell.type) == (True, None)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"cell_shape": "round"}, "no attribute 'cell_shape' is known"),
        ({"cell_size": "big"}, "cell_size must be one of small, medium, large, not 'big'"),
        ({"nucleus": "Prominent"}, "not 'Prominent'"),
    ],
)
def test_an_attribute_of_another_scheme_is_refused_by_name(attributes, message):
    with pytest.raises(UserError, match=message):
        score_cell(attributes)


def test_every_criterion_is_a_value_that_the_attribute_has():
    for criteria in CRITERIA.values():
        assert all(value in ATTRIBUTES[name] for name, value in criteria.items())


# --- a patient ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTBOOK)
def test_a_patient_of_one_kind_of_cells_gets_its_hint_as_historical(name):
    hint = fab_hint([TEXTBOOK[name]] * 40 + [TEXTBOOK["L1" if name != "L1" else "L2"]] * 5)
    assert (hint.state, hint.type, hint.cells) == (HintState.HINT, name, 45)
    assert hint.text.startswith(f"The lymphoblasts look {name}-like")
    assert "historical" in hint.text
    assert "not a diagnosis" in hint.text


def test_only_l3_speaks_of_burkitt():
    assert "Burkitt" in fab_hint([L3] * 30).text
    assert all("Burkitt" not in fab_hint([TEXTBOOK[name]] * 30).text for name in ("L1", "L2"))


def test_the_shares_come_with_wilson_intervals():
    share = fab_hint([L1] * 30 + [L2] * 10).shares["L1"]
    assert (share.count, share.percent, share.interval) == (30, 75.0, wilson_interval(30, 40))
    assert f"{share.interval.low:.0f}-{share.interval.high:.0f}" in fab_hint([L1] * 30 + [L2] * 10).text


def test_a_majority_that_could_be_luck_is_no_hint():
    hint = fab_hint([L1] * 24 + [L2] * 16)
    assert hint.shares["L1"].percent == 60
    assert (hint.state, hint.type) == (HintState.MIXED, None)
    assert hint.text.startswith("The lymphoblasts are of no one FAB-like type")
    assert "historical" in hint.text


@pytest.mark.parametrize("cells", [[], [L1] * 19, [{"cell_size": "small"}] * 500])
def test_too_few_cells_with_enough_attributes_give_no_hint(cells):
    hint = fab_hint(cells)
    assert (hint.state, hint.type) == (HintState.NOT_ENOUGH, None)
    assert hint.text.startswith("Not enough attributes")
    assert "historical" in hint.text


def test_cells_without_enough_attributes_are_counted_apart():
    hint = fab_hint([L1] * 30 + [{"nucleus": "prominent"}] * 12)
    assert (hint.cells, hint.left_out) == (30, 12)
