"""Tiles and identity of slide files."""

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.phantom.containers.identity import SlideIdentity, label_picture, macro_picture
from marrow_models.phantom.containers.tiles import TILE_PX, _reduced, encode_pyramid

IDENTITY = SlideIdentity("1/slide-0001-a", "PHANTOM-0001", "PHANTOM-0001", "slide-0001-a")


def picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 256, y % 256, (x + y) // 4 % 256], axis=2).astype(np.uint8)


@given(height=st.integers(4, 40), width=st.integers(4, 40), factor=st.sampled_from([2, 4]), seed=st.integers(0, 99))
def test_reducing_averages_areas_and_rounds(height: int, width: int, factor: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    rows, columns = height // factor, width // factor
    blocks = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
    np.testing.assert_array_equal(_reduced(image, factor), np.floor(blocks.mean(axis=(1, 3)) + 0.5))


def test_a_pyramid_has_levels_1_4_and_16_covered_with_whole_tiles() -> None:
    pyramid = encode_pyramid(picture(700, 1100), 0.25)
    assert [(level.width_px, level.height_px, level.downsample) for level in pyramid.levels] == [
        (1100, 700, 1),
        (275, 175, 4),
        (68, 43, 16),
    ]
    assert [(level.columns, level.rows, len(level.tiles)) for level in pyramid.levels] == [
        (5, 3, 15),
        (2, 1, 2),
        (1, 1, 1),
    ]
    assert pyramid.overview.shape == (43, 68, 3)


def test_every_tile_is_a_jpeg_that_stands_alone_and_lies_row_by_row() -> None:
    image = picture(512, 768)
    tiles = encode_pyramid(image, 0.25).levels[0].tiles
    for index, tile in enumerate(tiles):
        assert tile[:2] == b"\xff\xd8"
        assert tile[-2:] == b"\xff\xd9"
        row, column = divmod(index, 3)
        part = image[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
        decoded = imagecodecs.jpeg8_decode(tile)
        assert decoded.shape == (TILE_PX, TILE_PX, 3)
        assert np.abs(decoded.astype(float) - part).mean() < 6


def test_tiles_at_the_far_edge_are_padded_with_the_edge() -> None:
    tile = imagecodecs.jpeg8_decode(encode_pyramid(np.full((100, 300, 3), 77, np.uint8), 0.25).levels[0].tiles[1])
    assert np.abs(tile.astype(int) - 77).max() <= 1


def test_uids_are_valid_and_depend_on_slide_and_role() -> None:
    other = SlideIdentity("2/slide-0001-a", "PHANTOM-0001", "PHANTOM-0001", "slide-0001-a")
    uids = {identity.uid(role) for identity in (IDENTITY, other) for role in ("study", "series")}
    assert len(uids) == 4
    assert IDENTITY.uid("study") == IDENTITY.uid("study")
    for uid in uids:
        assert uid.startswith("2.25.")
        assert uid[5:].isdigit()
        assert len(uid) <= 64
    assert [len(part) for part in IDENTITY.guid("ome").split("-")] == [8, 4, 4, 4, 12]


@pytest.mark.parametrize("field", ["name", "patient_id", "slide_name"])
def test_the_label_shows_who_it_is(field: str) -> None:
    values = {"key": "k", "patient_id": "P-1", "name": "A", "slide_name": "s-1"}
    pictures = [label_picture(SlideIdentity(**(values | {field: text}))) for text in ("OTTO", "ANNA")]
    assert not np.array_equal(*pictures)


def test_the_macro_shows_label_and_smear() -> None:
    smears = [macro_picture(IDENTITY, np.full((64, 64, 3), value, np.uint8)) for value in (90, 200)]
    assert smears[0].shape == (400, 1200, 3)
    assert (smears[0] == 90).all(axis=2).mean() > 0.15
    np.testing.assert_array_equal(smears[0][:, :500], smears[1][:, :500])
