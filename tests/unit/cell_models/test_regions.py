from hypothesis import given, settings
from hypothesis import strategies as st

from marrow_models.records import Field, Rect
from marrow_models.regions import MOST_JOINED_ONE_BY_ONE, regions_of
from marrow_models.tiling import Cut

CUT = Cut(tile_px=2080, halo_px=182)
SIDE = 512


def fields_at(*places):
    return [Field(n, Rect(x * SIDE, y * SIDE, SIDE, SIDE)) for n, (x, y) in enumerate(places)]


def seen(regions, cut=CUT):
    return sum(cut.seen_px(r.rect_px.width, r.rect_px.height) for r in regions)


def ids(regions):
    return sorted(sorted(field.field_id for field in region.fields) for region in regions)


def test_fields_of_a_full_square_are_one_region():
    assert ids(regions_of(fields_at(*((x, y) for y in range(4) for x in range(4))), CUT)) == [list(range(16))]


def test_neighbours_are_joined_also_where_another_field_is_far_away():
    assert ids(regions_of(fields_at((0, 0), (1, 0), (30, 30), (31, 30)), CUT)) == [[0, 1], [2, 3]]


def test_fields_that_share_nothing_stay_alone():
    assert ids(regions_of(fields_at((0, 0), (3, 3)), CUT)) == [[0], [1]]


def test_a_field_or_none_needs_no_choice():
    assert regions_of([], CUT) == []
    assert [r.rect_px for r in regions_of(fields_at((2, 3)), CUT)] == [Rect(1024, 1536, 512, 512)]


places = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=14, unique=True)


@settings(deadline=None)
@given(places=places, tile=st.integers(200, 5000), halo=st.integers(0, 400))
def test_each_field_is_in_one_region_that_holds_it_and_nothing_is_seen_in_vain(places, tile, halo):
    cut, fields = Cut(tile, halo), fields_at(*places)
    regions = regions_of(fields, cut)
    assert ids([r for r in regions if not r.fields]) == []
    assert sorted(f.field_id for r in regions for f in r.fields) == list(range(len(fields)))
    for region in regions:
        box = region.rect_px
        for field in region.fields:
            assert box.x <= field.rect_px.x
            assert box.y <= field.rect_px.y
            assert field.rect_px.right <= box.right
            assert field.rect_px.bottom <= box.bottom
    alone = sum(cut.seen_px(SIDE, SIDE) for _ in fields)
    left, top = min(x for x, _ in places), min(y for _, y in places)
    right, bottom = max(x for x, _ in places) + 1, max(y for _, y in places) + 1
    around = cut.seen_px((right - left) * SIDE, (bottom - top) * SIDE)
    assert seen(regions, cut) <= min(alone, around)


def test_of_very_many_fields_all_are_joined_or_none():
    near = fields_at(*((x, 0) for x in range(MOST_JOINED_ONE_BY_ONE + 1)))
    far = fields_at(*((5 * x, 7 * x) for x in range(MOST_JOINED_ONE_BY_ONE + 1)))
    assert len(regions_of(near, CUT)) == 1
    assert len(regions_of(far, CUT)) == len(far)
