import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.records import Rect
from marrow_models.tiling import snapped, tiles_of

regions = st.builds(Rect, st.integers(-50, 50), st.integers(-50, 50), st.integers(0, 60), st.integers(0, 60))


def points(rect):
    return {(x, y) for x in range(rect.x, rect.right) for y in range(rect.y, rect.bottom)}


@given(region=regions, tile=st.integers(1, 70), shift=st.floats(0, 0.999))
def test_every_point_of_a_region_belongs_to_exactly_one_tile(region, tile, shift):
    tiles = list(tiles_of(region, tile, halo_px=5, stride_px=8, shift_px=int(shift * tile)))
    owned = [point for t in tiles for point in points(t.core)]
    assert len(owned) == len(set(owned))
    assert set(owned) == points(region)
    assert all(t.core.width <= tile and t.core.height <= tile for t in tiles)


@given(region=regions, tile=st.integers(1, 70), halo=st.integers(0, 40))
def test_a_tile_reads_its_halo_on_whole_strides(region, tile, halo):
    for t in tiles_of(region, tile, halo_px=halo, stride_px=8):
        wanted = t.core.expanded(halo)
        assert t.read.x <= wanted.x
        assert t.read.y <= wanted.y
        assert t.read.right >= wanted.right
        assert t.read.bottom >= wanted.bottom
        assert not any(edge % 8 for edge in (t.read.x, t.read.y, t.read.right, t.read.bottom))
        assert t.read.width < wanted.width + 16


def test_a_shifted_grid_starts_with_smaller_tiles():
    tiles = list(tiles_of(Rect(0, 0, 100, 10), 40, halo_px=0, stride_px=1, shift_px=15))
    assert [(t.core.x, t.core.width) for t in tiles if t.core.y == 0] == [(0, 25), (25, 40), (65, 35)]


@pytest.mark.parametrize(("tile", "shift"), [(0, 0), (-4, 0), (8, 8), (8, -1)])
def test_a_grid_that_cannot_be_is_refused(tile, shift):
    with pytest.raises(ValueError, match="cannot be shifted"):
        list(tiles_of(Rect(0, 0, 5, 5), tile, halo_px=0, stride_px=1, shift_px=shift))


def test_negative_coordinates_are_snapped_outwards_too():
    assert snapped(Rect(-3, -9, 4, 10), 8) == Rect(-8, -16, 16, 24)
