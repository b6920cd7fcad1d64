"""What a box, a point and a class must be, and how defects are told."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.datasets.marker import Marker, chosen_taxonomy, number
from marrow_models.datasets.options import ReadOptions
from marrow_models.errors import UserError
from marrow_models.taxonomy import load_taxonomy

ROOT = Path("/data/films")
SIZE = (100, 80)


@pytest.fixture
def marker():
    return Marker(load_taxonomy("blood3"), ROOT)


def test_a_box_keeps_its_fractions_and_gets_its_label(marker):
    cell = marker.boxed("Platelets", (1.5, 2, 3.25, 4), SIZE, "a.xml")
    assert cell.box_px == (1.5, 2, 3.25, 4)
    assert (cell.label, cell.raw_label, cell.ignored) == ("platelet", "Platelets", False)
    assert marker.notes() == ()


def test_a_box_over_the_edge_is_clipped_and_counted(marker):
    cell = marker.boxed("RBC", (-10, 70, 20, 90), SIZE, f"{ROOT}/b/a.xml, line 3")
    assert cell.box_px == (0, 70, 20, 80)
    marker.boxed("RBC", (90, 70, 120, 80), SIZE, f"{ROOT}/c.xml")
    assert marker.notes() == ("boxes that reach over the edge of their picture, clipped: 2 (first: b/a.xml, line 3)",)


def test_rounding_over_the_edge_is_no_defect(marker):
    assert marker.boxed("RBC", (-0.3, 0, 100.4, 80), SIZE, "a").box_px == (0, 0, 100, 80)
    assert marker.notes() == ()


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (5, 5, 9, 5), (100, 80, 100, 80), (140, 9, 140, 9)])
def test_a_box_of_zero_size_is_dropped_and_counted(marker, box):
    assert marker.boxed("RBC", box, SIZE, f"{ROOT}: labels/a.txt") is None
    assert marker.notes() == ("boxes of zero size, dropped: 1 (first: labels/a.txt)",)


@pytest.mark.parametrize("box", [(100, 0, 120, 10), (0, 80, 10, 90), (-9, 0, 0, 10), (0, -9, 10, 0)])
def test_a_box_outside_of_the_picture_is_refused_by_name(marker, box):
    with pytest.raises(UserError, match=r"film 7\.xml: the box .* lies outside of its picture of 100 x 80 px"):
        marker.boxed("RBC", box, SIZE, "film 7.xml")


def test_a_box_that_ends_before_it_begins_is_refused_by_name(marker):
    with pytest.raises(UserError, match=r"a\.csv: the box \(40, 30, 20, 50\) ends before it begins"):
        marker.boxed("RBC", (40, 30, 20, 50), SIZE, "a.csv")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_box_with_a_number_that_is_none_is_refused(marker, value):
    with pytest.raises(UserError, match=r"a\.csv: a box has a number that is not finite"):
        marker.boxed("RBC", (1, 2, value, 4), SIZE, "a.csv")


@given(st.tuples(*[st.floats(-200, 300)] * 4))
def test_every_box_that_is_taken_has_an_area_within_its_picture(box):
    try:
        cell = Marker(load_taxonomy("blood3"), ROOT).boxed("RBC", box, SIZE, "a")
    except UserError:
        return
    if cell is not None:
        left, top, right, bottom = cell.box_px
        assert 0 <= left < right <= 100
        assert 0 <= top < bottom <= 80


def test_a_box_without_a_class_is_a_cell_of_no_class_that_counts(marker):
    cell = marker.boxed("", (1, 2, 3, 4), SIZE, "a")
    assert cell.label is None
    assert not cell.ignored


def test_a_raw_label_that_means_no_class_is_ignored():
    marker = Marker(load_taxonomy("pbc11"), ROOT)
    for cell in (
        marker.whole("IG", "a"),
        marker.boxed("IG", (1, 2, 3, 4), SIZE, "a"),
        marker.pointed("IG", (1, 1), SIZE, "a"),
    ):
        assert (cell.label, cell.raw_label, cell.ignored) == (None, "IG", True)


def test_a_class_that_the_taxonomy_does_not_know_is_refused_with_its_place(marker):
    with pytest.raises(UserError, match=r"a\.txt: taxonomy blood3 does not know the raw label 'Blast'"):
        marker.whole("Blast", "a.txt")


@pytest.mark.parametrize("point", [(-1, 5), (5, 81), (math.nan, 5)])
def test_a_point_outside_of_the_picture_is_refused_by_name(marker, point):
    with pytest.raises(UserError, match=r"a\.xyc: the point .* lies outside"):
        marker.pointed("WBC", point, SIZE, "a.xyc")


def test_a_layout_without_classes_asks_for_a_taxonomy():
    with pytest.raises(UserError, match=r"--data coco: .*Give taxonomy = .*\[data\.coco\]"):
        chosen_taxonomy(ReadOptions(), "coco")
    assert chosen_taxonomy(ReadOptions(taxonomy="blood3"), "coco").name == "blood3"


@pytest.mark.parametrize("text", ["", "nan", "inf", "1,5", "seven"])
def test_what_is_no_number_is_refused_with_its_meaning(text):
    with pytest.raises(UserError, match="a: left must be a number"):
        number(text, "a", "left")
