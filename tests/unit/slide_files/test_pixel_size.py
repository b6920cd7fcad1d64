"""Micrometres per pixel: read leniently, believed strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides import pixel_size
from marrow_models.slides.tiff_metadata import aperio_properties, ome_pixels


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.25", 0.25), ("0,25", 0.25), (" .5 ", 0.5), ("-1", -1.0), ("1e-1", 0.1), ("4", 4.0), ("2,", 2.0)],
)
def test_numbers_are_read_with_point_or_comma(text: str, value: float) -> None:
    assert pixel_size.parse_decimal(text) == value


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "1,000.5", "nan", "inf", "0x10", "0.25 um"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert pixel_size.parse_decimal(text) is None


@pytest.mark.parametrize(("unit", "um"), [("µm", 2.0), ("μm", 2.0), ("nm", 0.002), ("mm", 2000.0), ("", 2.0)])
def test_ome_units_become_micrometres(unit: str, um: float) -> None:
    assert pixel_size.to_micrometres(2.0, unit) == pytest.approx(um)


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "parsec"])
def test_a_unit_that_is_no_length_gives_nothing(unit: str) -> None:
    assert pixel_size.to_micrometres(2.0, unit) is None


@pytest.mark.parametrize(
    ("per_unit", "unit"),
    [(72, 2), (96, 2), (300, 2), (1200, 2), (28.35, 3), (1, 1), (0, 3), (-40_000, 3), (1e9, 3), (40_000, 1)],
)
def test_a_print_resolution_never_becomes_a_pixel_size(per_unit: float, unit: int) -> None:
    assert pixel_size.from_resolution_tags(per_unit, per_unit, unit) is None


@pytest.mark.parametrize(("per_unit", "unit", "um"), [(40_000, 3, 0.25), (101_600, 2, 0.25), (20_000, 3, 0.5)])
def test_a_microscopes_resolution_is_believed(per_unit: float, unit: int, um: float) -> None:
    assert pixel_size.from_resolution_tags(per_unit, per_unit, unit) == pytest.approx((um, um))


@pytest.mark.parametrize(("x", "y", "pair"), [(None, None, None), (0.0, 0.0, None), (0.25, None, (0.25, 0.25))])
def test_zero_and_absent_mean_not_stated(x: float | None, y: float | None, pair: tuple[float, float] | None) -> None:
    assert pixel_size.stated(x, y) == pair


@pytest.mark.parametrize(
    "pair", [(1e9, 1e9), (-0.25, -0.25), (0.001, 0.001), (60.0, 60.0), (0.25, 0.27), (float("nan"), 0.25)]
)
def test_what_cannot_be_is_refused(pair: tuple[float, float]) -> None:
    with pytest.raises(SlideRefused) as caught:
        pixel_size.checked(pair)
    assert caught.value.reason == Reason.BAD_MPP
    assert pixel_size.believable(pair) is None


@given(st.floats(0.05, 20), st.floats(-0.049, 0.049))
def test_nearly_square_pixels_are_taken_as_square(x: float, difference: float) -> None:
    y = x * (1 + difference) if difference >= 0 else x / (1 - difference)
    assert min(x, y) <= pixel_size.checked((x, y)) <= max(x, y)


def test_the_manifest_wins_over_the_file() -> None:
    assert pixel_size.resolve((0.25, 0.25), 0.5) == 0.5
    assert pixel_size.resolve((1e9, 1e9), 0.5) == 0.5
    assert pixel_size.resolve(None, 0.5) == 0.5
    assert pixel_size.resolve((0.25, 0.25), None) == 0.25


@pytest.mark.parametrize(
    ("stated", "given_", "reason"),
    [
        (None, None, Reason.NO_MPP),
        ((1e9, 1e9), None, Reason.BAD_MPP),
        ((0.25, 0.25), 0.0, Reason.BAD_MPP),
        ((0.25, 0.25), -1.0, Reason.BAD_MPP),
    ],
)
def test_without_a_believable_pixel_size_a_slide_is_refused(
    stated: tuple[float, float] | None, given_: float | None, reason: Reason
) -> None:
    with pytest.raises(SlideRefused) as caught:
        pixel_size.resolve(stated, given_)
    assert caught.value.reason == reason


def test_only_two_numbers_of_an_aperio_description_are_read() -> None:
    text = "Aperio Image Library|AppMag = 40|MPP = 0,2500|Patient = 1970|User = 7|MPP = 9"
    assert aperio_properties(text) == {"AppMag": 40.0, "MPP": 0.25}
    assert aperio_properties("MPPX = 3|AppMag = forty|MPP") == {}


@given(st.text(max_size=300))
def test_no_description_breaks_the_readers_of_metadata(text: str) -> None:
    assert set(aperio_properties(text)) <= {"MPP", "AppMag"}
    ome_pixels(text)


def test_ome_attributes_are_read_in_either_quotes_and_with_a_prefix() -> None:
    assert ome_pixels("<OME:Pixels ID='p' PhysicalSizeX=\"0.5\"/>") == {"ID": "p", "PhysicalSizeX": "0.5"}
