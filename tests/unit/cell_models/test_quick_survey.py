"""The quick survey is the plain one, bit for bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from marrow_models.field_look import cannot_hold_nuclei, look_at
from marrow_models.pyramid.ingest import ingest_slide
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import MissingArea, Rect
from marrow_models.survey import survey
from marrow_models.training.array_slide import ArraySlide
from tests.unit.cell_models.factories import SURVEY
from tests.unit.cell_models.plain_survey import plain_look_at, plain_survey
from tests.unit.cell_models.test_survey import Toy, clot, crowd, four_parts, smear
from tests.unit.slide_files.sources import Svs, write_tiff

BLUE = dataclasses.replace(SURVEY, nucleus_density=0.08, blue_share=0.5, largest_dark_share=0.9)
GLASS = np.full((128, 128, 3), (240, 238, 241), np.uint8)
FIELDS = [
    smear(30),
    smear(3, seed=2),
    smear(12, blur=3.0, seed=3),
    crowd(),
    clot(),
    GLASS,
    GLASS * 0,
    smear(9, radius=12),
]
SETTINGS = [SURVEY, BLUE, dataclasses.replace(SURVEY, um_per_px=2.3), dataclasses.replace(SURVEY, nucleus_um2=4.0)]


@given(
    st.integers(0, len(FIELDS) - 1),
    st.integers(0, len(SETTINGS) - 1),
    st.tuples(st.integers(0, 100), st.integers(1, 128), st.integers(0, 100), st.integers(1, 128)),
    st.integers(0, 60),
    st.integers(-120, 60),
)
@settings(max_examples=300, deadline=None)
@example(4, 0, (0, 128, 0, 128), 0, 0)
@example(6, 0, (0, 128, 0, 128), 0, 0)
@example(0, 1, (0, 128, 0, 128), 0, 0)
def test_a_field_looks_the_same(kind: int, which: int, cut: tuple[int, ...], noise: int, shift: int) -> None:
    top, height, left, width = cut
    pixels = FIELDS[kind][top : top + height, left : left + width].astype(int) + shift
    grain = np.random.default_rng(noise).integers(-noise, noise + 1, pixels.shape)
    pixels = (pixels + grain).clip(0, 255).astype(np.uint8)
    look = look_at(pixels, SETTINGS[which])
    assert look == plain_look_at(pixels, SETTINGS[which])
    if cannot_hold_nuclei(pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1)), SETTINGS[which]):
        assert look.dark_share == 0


def test_bare_glass_with_noise_is_known_by_its_extremes() -> None:
    grain = np.random.default_rng(1).normal(0, 2.5, GLASS.shape)
    pixels = (GLASS + grain).clip(0, 255).astype(np.uint8)
    low, high = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
    assert cannot_hold_nuclei(low, high, SURVEY)
    assert cannot_hold_nuclei(low, high, BLUE)
    assert not cannot_hold_nuclei(FIELDS[0].min(axis=(0, 1)), FIELDS[0].max(axis=(0, 1)), SURVEY)


@pytest.mark.parametrize("um_per_px", [0.5, 0.37, 1.0, 1.3])
@pytest.mark.parametrize("field_um", [20.0, 64.0, 127.0, 700.0])
def test_a_slide_is_surveyed_as_field_by_field(um_per_px: float, field_um: float) -> None:
    pixels = np.concatenate([four_parts(), smear(80, size=256, seed=5)[:199]])[:, :251]
    pixels = np.pad(pixels, ((0, 0), (0, 400), (0, 0)), constant_values=255)
    pixels = np.concatenate([pixels, pixels[::-1]], axis=1)
    areas = (MissingArea(Rect(30, 50, 60, 90), "undecodable"), MissingArea(Rect(500, 0, 90, 300), "unscanned"))
    toy = Toy(dataclasses.replace(SURVEY, field_um=field_um))
    slide = ArraySlide(pixels, um_per_px, missing=areas)
    assert survey(slide, toy) == plain_survey(slide, toy)


@pytest.mark.parametrize("um_per_px", [0.25, 0.23, 1.1])
def test_a_stored_slide_with_white_and_unscanned_parts_too(tmp_path: Path, um_per_px: float) -> None:
    picture = np.full((1800, 2100, 3), 255, np.uint8)
    drawn = np.concatenate([smear(40, size=256, radius=5), clot(256)], axis=1).repeat(4, 0).repeat(4, 1)[:1000, :1400]
    picture[300:1300, 600:2000] = drawn
    source, store = tmp_path / "s.svs", tmp_path / "s.ome.zarr"
    Svs(picture, tile=128, mpp=str(um_per_px), unscanned={(0, 0), (3, 3), (9, 1), (13, 16)}).write(source)
    ingest_slide(source, (source,), store, um_per_px=None)
    toy = Toy(dataclasses.replace(SURVEY, field_um=48.0))
    slide = Pyramid.open(store)
    found = survey(slide, toy)
    assert found == plain_survey(slide, toy)
    assert found.fields
    assert set(found.rejected_mm2) >= {"empty", "missing"}


@pytest.mark.parametrize("profile", ["copy", "portable"])
def test_the_values_of_a_region_lie_within_its_range(tmp_path: Path, profile: str) -> None:
    picture = np.full((1000, 1300, 3), 255, np.uint8)
    picture[400:430, 700:720] = 9
    picture[700:, 900:] = np.random.default_rng(3).integers(180, 230, (300, 400, 3))
    source, store = tmp_path / "s.tif", tmp_path / "s.ome.zarr"
    write_tiff(source, picture, tile=(64, 64), compression="zlib", photometric="rgb")
    ingest_slide(source, (source,), store, um_per_px=None, profile=profile)
    slide = Pyramid.open(store)
    seen = set()
    for level, factor in ((0, 1.0), (0, 4.0), (1, 2.0), (1, 5.3)):
        scale = 0.25 * factor
        for y in range(-80, round(1000 / factor) + 80, 37):
            for x in range(-80, round(1300 / factor) + 80, 41):
                rect = Rect(x, y, 33, 29)
                low, high = slide.value_range(scale, rect, from_level=level)
                pixels = slide.scaled_region(scale, rect, from_level=level)
                assert low <= pixels.min() <= pixels.max() <= high
                seen.add((low, high))
    assert (255, 255) in seen
    assert any(low < 20 for low, _ in seen)
    assert any(low > 170 and high < 235 for low, high in seen)


def test_nothing_is_decoded_where_the_store_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.full((700, 700, 3), 255, np.uint8)
    picture[400:430, 600:620] = 9
    source, store = tmp_path / "s.tif", tmp_path / "s.ome.zarr"
    write_tiff(source, picture, tile=(64, 64), compression="zlib", photometric="rgb")
    ingest_slide(source, (source,), store, um_per_px=None)
    slide = Pyramid.open(store)
    monkeypatch.setattr(slide._levels[0], "tiles", None)
    assert slide.value_range(0.25, Rect(0, 0, 300, 300)) == (255, 255)
    with pytest.raises(TypeError):
        slide.value_range(0.25, Rect(300, 300, 300, 300))
