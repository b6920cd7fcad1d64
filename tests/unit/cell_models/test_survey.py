import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from marrow_models.errors import Reason, SlideRefused
from marrow_models.field_look import look_at
from marrow_models.records import Field, MissingArea, Rect
from marrow_models.survey import (
    MANY_PIECES,
    Survey,
    choose_fields,
    field_grid,
    lost_px,
    neighbours,
    pieces_of_work,
    rejection,
    survey,
)
from marrow_models.training.array_slide import ArraySlide
from tests.unit.cell_models.factories import SURVEY

GLASS, RED_CELL, NUCLEUS = (238, 234, 240), (215, 180, 185), (90, 45, 130)


def smear(cells, size=128, radius=4.5, blur=0.7, seed=0):
    """A monolayer at 1 um/px: red cells everywhere, ``cells`` round nuclei, uint8 (size, size, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), GLASS, float)
    rows, columns = np.mgrid[:size, :size]
    for _ in range(size * size // 150):
        y, x = rng.uniform(0, size, 2)
        image[(rows - y) ** 2 + (columns - x) ** 2 < 3.5**2] = RED_CELL
    for y, x in spread(rng, cells, size, radius):
        image[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = NUCLEUS
    return ndimage.gaussian_filter(image, (blur, blur, 0)).clip(0, 255).astype(np.uint8)


def spread(rng, cells, size, radius):
    centres = []
    while len(centres) < cells:
        y, x = rng.uniform(radius + 1, size - radius - 1, 2)
        if all((y - v) ** 2 + (x - u) ** 2 > (2 * radius + 2) ** 2 for v, u in centres):
            centres.append((y, x))
    return centres


def crowd(size=128, radius=6.0, pitch=14):
    """Nuclei side by side, each round and apart from the next."""
    rows, columns = np.mgrid[:size, :size] % pitch - pitch / 2
    image = np.where((rows**2 + columns**2 < radius**2)[..., None], NUCLEUS, GLASS).astype(float)
    return ndimage.gaussian_filter(image, (0.5, 0.5, 0)).astype(np.uint8)


def clot(size=128):
    rng = np.random.default_rng(1)
    blotches = ndimage.gaussian_filter(rng.normal(0, 30, (size, size, 1)), (3, 3, 0))
    return (np.array([100.0, 60, 130]) + blotches).clip(0, 255).astype(np.uint8)


def judged(pixels):
    return rejection(look_at(pixels, SURVEY), SURVEY)


def test_a_monolayer_is_read():
    assert judged(smear(20)) is None


@pytest.mark.parametrize("cells", [5, 20, 40])
def test_nuclear_area_tells_how_many_cells_there_are(cells):
    of_one = look_at(smear(1), SURVEY).nuclear_um2
    assert 0.6 * np.pi * 4.5**2 < of_one < 1.2 * np.pi * 4.5**2
    assert look_at(smear(cells), SURVEY).nuclear_um2 == pytest.approx(cells * of_one, rel=0.1)


def test_red_cells_alone_are_empty():
    assert judged(smear(0)) == "empty"


def test_bare_glass_is_empty():
    assert judged(np.full((64, 64, 3), GLASS, np.uint8)) == "empty"
    assert judged(np.full((64, 64, 3), 255, np.uint8)) == "empty"


def test_platelets_and_dirt_are_not_cells():
    assert judged(smear(40, radius=1.0, blur=0.3)) == "empty"


def test_a_clot_is_rejected():
    assert judged(clot()) == "clot"


def test_a_clot_in_a_part_of_a_field_is_enough():
    pixels = smear(15)
    pixels[20:60, 30:80] = clot(128)[:40, :50]
    assert judged(pixels) == "clot"


def test_a_crowd_of_cells_is_no_monolayer():
    look = look_at(crowd(), SURVEY)
    assert look.clot_share == 0
    assert look.dark_share > SURVEY.largest_dark_share
    assert judged(crowd()) == "clot"


def test_a_blurred_field_is_out_of_focus():
    sharp, blurred = smear(12, radius=7), smear(12, radius=7, blur=3.0)
    assert look_at(blurred, SURVEY).sharpness < look_at(sharp, SURVEY).sharpness / 2
    settings = dataclasses.replace(SURVEY, least_sharpness=look_at(sharp, SURVEY).sharpness * 0.6)
    assert rejection(look_at(blurred, settings), settings) == "out_of_focus"
    assert rejection(look_at(sharp, settings), settings) is None


@pytest.mark.parametrize("gain", [0.8, 0.9, 1.05])
def test_a_darker_or_brighter_lamp_changes_little(gain):
    pixels = (smear(20).astype(float) * gain).clip(0, 255).astype(np.uint8)
    assert look_at(pixels, SURVEY).nuclear_um2 == pytest.approx(look_at(smear(20), SURVEY).nuclear_um2, rel=0.15)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (2, 40)])
@pytest.mark.parametrize("colour", [GLASS, NUCLEUS])
def test_a_sliver_of_a_field_can_be_looked_at(shape, colour):
    pixels = np.full((*shape, 3), GLASS, np.uint8)
    pixels[: max(1, shape[0] // 2), : max(1, shape[1] // 2)] = colour
    judged(pixels)


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    um=st.floats(0.1, 1.0),
    side=st.floats(60, 500),
)
def test_fields_cover_the_slide_and_never_each_other(width, height, um, side):
    settings = dataclasses.replace(SURVEY, field_um=side)
    fields = list(field_grid(width, height, um, settings))
    assert sum(f.width * f.height for f in fields) == width * height
    columns = sorted({(f.x, f.right) for f in fields})
    rows = sorted({(f.y, f.bottom) for f in fields})
    assert len(columns) * len(rows) == len(fields)
    for spans, end in ((columns, width), (rows, height)):
        assert spans[0][0] == 0
        assert spans[-1][1] == end
        assert all(a[1] == b[0] for a, b in pairwise(spans))


class Toy:
    """What the survey asks of a bundle."""

    def __init__(self, settings, scale=(0.1, 2.0)):
        self.survey, self._scale = settings, scale

    def check_scale(self, um_per_px):
        if not self._scale[0] <= um_per_px <= self._scale[1]:
            raise SlideRefused(Reason.MPP_OUT_OF_RANGE)


PARTS = dataclasses.replace(SURVEY, field_um=128.0)


def four_parts():
    """A slide of 256 x 256 um: a good monolayer, a clot, a thin one and bare glass."""
    glass = np.full((128, 128, 3), GLASS, np.uint8)
    return np.block([[[smear(30)], [clot()]], [[smear(6, seed=3)], [glass]]])


def test_a_slide_is_surveyed_field_by_field():
    found = survey(ArraySlide(four_parts(), 1.0), Toy(PARTS))
    assert [f.field_id for f in found.fields] == [0, 2]
    assert found.rejected_mm2 == pytest.approx({"clot": 0.016384, "empty": 0.016384})
    assert found.readable_mm2 == pytest.approx(2 * 0.016384)
    assert found.fields[0].expected_cells == pytest.approx(
        look_at(smear(30), PARTS).nuclear_um2 / PARTS.nucleus_um2, rel=0.01
    )
    assert all(0 < f.readability <= 1 for f in found.fields)


def test_area_adds_up_to_that_of_the_slide():
    pixels = np.concatenate([four_parts(), four_parts()[:100]])[:, :201]
    found = survey(ArraySlide(pixels, 1.0), Toy(PARTS))
    assert found.readable_mm2 + sum(found.rejected_mm2.values()) == pytest.approx(pixels.shape[0] * 201 / 1e6)


def test_a_field_that_is_mostly_unknown_is_not_read():
    area = MissingArea(Rect(0, 0, 60, 90), "undecodable")
    found = survey(ArraySlide(four_parts(), 1.0, missing=(area,)), Toy(PARTS))
    assert [f.field_id for f in found.fields] == [2]
    assert found.rejected_mm2["missing"] == pytest.approx(0.016384)


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 70), st.integers(1, 60), st.integers(1, 60)), max_size=6),
)
def test_the_lost_pixels_of_a_field_are_those_of_its_overlaps(side, boxes):
    """F03: told area by area, as a slide may have as many areas as fields."""
    lost = np.zeros((80, 100), np.int64)
    for x, y, width, height in boxes:
        lost[y : y + height, x : x + width] += 1
    missing = tuple(MissingArea(Rect(*box), "undecodable") for box in boxes)
    settings = dataclasses.replace(SURVEY, field_um=float(side))
    told = lost_px(ArraySlide(np.zeros((80, 100, 3), np.uint8), 1.0, missing=missing), settings)
    fields = list(field_grid(100, 80, 1.0, settings))
    assert list(told) == [lost[f.y : f.bottom, f.x : f.right].sum() for f in fields]


def test_a_slide_the_models_cannot_read_is_refused_before_anything_is_read():
    with pytest.raises(SlideRefused):
        survey(ArraySlide(four_parts(), 1.0), Toy(PARTS, scale=(0.1, 0.3)))


def test_surveys_are_the_same_each_time():
    slide = ArraySlide(four_parts(), 1.0)
    assert survey(slide, Toy(PARTS)) == survey(slide, Toy(PARTS))


def survey_of(*expected):
    fields = tuple(Field(n, Rect(n, 0, 1, 1), cells, 1.0) for n, cells in enumerate(expected))
    return Survey(fields, 0.0, {})


def test_fields_are_chosen_until_enough_cells_are_expected():
    assert [f.field_id for f in choose_fields(survey_of(50, 40, 30, 20), 100)] == [0, 1, 2]


def test_all_fields_are_chosen_without_a_target_or_when_there_are_too_few_cells():
    assert len(choose_fields(survey_of(50, 40), None)) == 2
    assert len(choose_fields(survey_of(50, 40), 1000)) == 2


def test_more_fields_can_be_chosen_among_those_that_are_left():
    whole = survey_of(50, 40, 30, 20)
    assert [f.field_id for f in choose_fields(whole, 45, among=whole.fields[2:])] == [2, 3]


@given(st.lists(st.floats(0.1, 100), max_size=20), st.integers(0, 500))
def test_no_chosen_field_could_have_been_left_out_at_the_end(expected, target):
    chosen = choose_fields(survey_of(*expected), target)
    assert sum(f.expected_cells for f in chosen[:-1]) < max(target, 1e-9) or not chosen
    assert sum(f.expected_cells for f in chosen) >= target or len(chosen) == len(expected)


def test_neighbours_are_the_fields_of_one_square_in_the_order_of_the_survey():
    fields = [Field(n, Rect(100 * (n % 4), 100 * (n // 4), 100, 100)) for n in (15, 0, 10, 5, 1)]
    assert [[f.field_id for f in group] for group in neighbours(fields, 200)] == [[15, 10], [0, 5, 1]]


def test_a_large_slide_is_cut_into_large_pieces_and_a_few_fields_into_small_ones():
    def grid(columns, rows):
        return [Field(n, Rect(512 * (n % columns), 512 * (n // columns), 512, 512)) for n in range(columns * rows)]

    few, many = pieces_of_work(grid(16, 8), 0.25), pieces_of_work(grid(32, 16), 0.25)
    assert {len(piece) for piece in few} == {16}
    assert {len(piece) for piece in many} == {64}
    assert len(many) == MANY_PIECES
    assert {len(piece) for piece in pieces_of_work(grid(32, 16), 0.25, workers=2)} == {16}


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), max_size=30), st.integers(1, 500))
def test_every_field_is_in_one_group(corners, side):
    fields = [Field(n, Rect(x, y, 10, 10)) for n, (x, y) in enumerate(corners)]
    together = [field for group in neighbours(fields, side) for field in group]
    assert sorted(together, key=lambda f: f.field_id) == fields
