import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.records import Rect
from marrow_models.tiling import LEAST_TILE_PX, Cut, snapped, tiles_of

regions = st.builds(Rect, st.integers(-50, 50), st.integers(-50, 50), st.integers(0, 60), st.integers(0, 60))


def points(rect):
    return {(x, y) for x in range(rect.x, rect.right) for y in range(rect.y, rect.bottom)}


@given(region=regions, tile=st.integers(1, 70), shift=st.floats(0, 0.999))
def test_every_point_of_a_region_belongs_to_exactly_one_tile(region, tile, shift):
    tiles = list(tiles_of(region, Cut(tile, 5), stride_px=8, shift_px=int(shift * tile)))
    owned = [point for t in tiles for point in points(t.core)]
    assert len(owned) == len(set(owned))
    assert set(owned) == points(region)
    assert all(t.core.width <= tile and t.core.height <= tile for t in tiles)


@given(region=regions, tile=st.integers(1, 70), halo=st.integers(0, 40))
def test_a_tile_reads_its_halo_on_whole_strides(region, tile, halo):
    for t in tiles_of(region, Cut(tile, halo), stride_px=8):
        wanted = t.core.expanded(halo)
        assert t.read.x <= wanted.x
        assert t.read.y <= wanted.y
        assert t.read.right >= wanted.right
        assert t.read.bottom >= wanted.bottom
        assert not any(edge % 8 for edge in (t.read.x, t.read.y, t.read.right, t.read.bottom))
        assert t.read.width < wanted.width + 16


def test_a_shifted_grid_starts_with_smaller_tiles():
    tiles = list(tiles_of(Rect(0, 0, 100, 10), Cut(40, 0), stride_px=1, shift_px=15))
    assert [(t.core.x, t.core.width) for t in tiles if t.core.y == 0] == [(0, 19), (19, 34), (53, 34), (87, 13)]


def test_no_tile_of_a_region_is_a_sliver():
    tiles = list(tiles_of(Rect(7, 0, 1030, 1), Cut(512, 100), stride_px=1))
    assert [(t.core.x, t.core.width) for t in tiles] == [(7, 344), (351, 344), (695, 342)]


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    tile=st.integers(1, 2000),
    halo=st.integers(0, 200),
    most=st.integers(1, 2_000_000),
)
def test_tiles_have_no_more_pixels_than_they_may_unless_they_are_the_smallest(width, height, tile, halo, most):
    cut = Cut(tile, halo, most)
    columns, rows = cut.counts(width, height)
    across, down = -(-width // columns), -(-height // rows)
    assert across <= tile
    assert down <= tile
    smallest = max(across, down) <= LEAST_TILE_PX
    assert (across + 2 * halo) * (down + 2 * halo) <= most or smallest
    # One row or column less would be too much of one or the other.
    wider, higher = -(-width // max(1, columns - 1)), -(-height // max(1, rows - 1))
    assert columns == 1 or max(wider, down) > tile or (wider + 2 * halo) * (down + 2 * halo) > most
    assert rows == 1 or max(across, higher) > tile or (across + 2 * halo) * (higher + 2 * halo) > most


def test_pixels_that_are_looked_at_are_those_of_all_tiles():
    region, cut = Rect(0, 0, 2048, 2048), Cut(1040, 115, 1_200_000)
    tiles = list(tiles_of(region, cut, stride_px=1))
    assert {(t.core.width, t.core.height) for t in tiles} == {(1024, 683), (1024, 682)}
    assert cut.seen_px(2048, 2048) == sum(t.read.width * t.read.height for t in tiles)


@pytest.mark.parametrize(("tile", "shift"), [(0, 0), (-4, 0), (8, 8), (8, -1)])
def test_a_grid_that_cannot_be_is_refused(tile, shift):
    with pytest.raises(ValueError, match="cannot be shifted"):
        list(tiles_of(Rect(0, 0, 5, 5), Cut(tile, 0), stride_px=1, shift_px=shift))


def test_negative_coordinates_are_snapped_outwards_too():
    assert snapped(Rect(-3, -9, 4, 10), 8) == Rect(-8, -16, 16, 24)
