import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marrow_models.analysis import analyse_pixels
from marrow_models.records import CellTable, Field, MissingArea, Rect
from tests.unit.cell_models import factories

WIDTH, HEIGHT = 240, 200
WHOLE = Field(0, Rect(0, 0, WIDTH, HEIGHT))


def analysed(source, field, bundle, **how):
    fields = (field,) if isinstance(field, Field) else field
    return analyse_pixels(source, fields, bundle, **({"batch_size": 32, "tile_px": 256} | how))


@settings(max_examples=20, deadline=None)
@given(
    tile=st.integers(16, 300), batch=st.integers(1, 70), shift=st.floats(0, 0.99), um=st.sampled_from([0.25, 0.2431])
)
def test_tile_size_shift_and_batch_size_change_no_cell(toy_bundle, tile, batch, shift, um):
    source = factories.slide(1, HEIGHT, WIDTH, um)
    expected = analysed(source, WHOLE, toy_bundle)
    cells = analysed(source, WHOLE, toy_bundle, tile_px=tile, batch_size=batch, shift_px=int(tile * shift))
    assert len(expected) > 20
    assert factories.same_cells(cells, expected)


@settings(max_examples=20, deadline=None)
@given(
    x=st.integers(1, WIDTH - 1),
    y=st.integers(1, HEIGHT - 1),
    um=st.sampled_from([0.25, 0.2431, 0.1612]),
)
def test_a_cell_at_a_border_of_fields_is_counted_once(toy_bundle, x, y, um):
    source = factories.slide(2, HEIGHT, WIDTH, um)
    rects = [
        Rect(0, 0, x, y),
        Rect(x, 0, WIDTH - x, y),
        Rect(0, y, x, HEIGHT - y),
        Rect(x, y, WIDTH - x, HEIGHT - y),
    ]
    parts = [analysed(source, Field(n, rect), toy_bundle) for n, rect in enumerate(rects)]
    joined = CellTable.concatenate(parts, toy_bundle.labels)
    assert factories.same_cells(joined, analysed(source, WHOLE, toy_bundle))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 3), chosen=st.sets(st.integers(0, 19), max_size=20), um=st.sampled_from([0.25, 0.2431]))
def test_fields_looked_at_together_have_the_cells_of_each(toy_bundle, seed, chosen, um):
    source = factories.slide(seed, HEIGHT, WIDTH, um)
    fields = [Field(n, Rect(n % 5 * 48, n // 5 * 50, 48, 50)) for n in sorted(chosen)]
    together = analysed(source, fields, toy_bundle)
    each = [analysed(source, field, toy_bundle) for field in fields]
    apart = CellTable.concatenate(each, toy_bundle.labels)
    assert factories.same_cells(together, apart)
    assert np.array_equal(together.field_id, apart.field_id)


def test_fields_far_apart_are_read_one_by_one_and_neighbours_together(toy_bundle):
    class Counting(factories.ArraySlide):
        pixels = 0

        def scaled_region(self, um_per_px, rect, *, from_level=0):
            # What the detector looks at; the classifier's crops are at another scale.
            type(self).pixels += rect.width * rect.height * (um_per_px == factories.DETECTOR.um_per_px)
            return super().scaled_region(um_per_px, rect, from_level=from_level)

    def cost(*corners):
        Counting.pixels = 0
        source = Counting(np.full((3000, 3000, 3), 255, np.uint8), 0.25)
        analysed(source, [Field(n, Rect(x, y, 200, 200)) for n, (x, y) in enumerate(corners)], toy_bundle, tile_px=999)
        return Counting.pixels

    one = cost((0, 0))
    assert cost((0, 0), (2800, 2800)) == 2 * one
    assert cost((0, 0), (200, 0), (0, 200), (200, 200)) < 2.5 * one


def test_a_border_through_the_very_centre_of_a_cell_gives_it_to_the_right_field(toy_bundle):
    source = factories.slide(3, HEIGHT, WIDTH)
    cells = analysed(source, WHOLE, toy_bundle)
    on_a_pixel = np.flatnonzero((cells.x_um / 0.25) % 1 == 0)
    x = int(cells.x_um[on_a_pixel[0]] / 0.25)
    left, right = (
        analysed(source, Field(n, rect), toy_bundle)
        for n, rect in enumerate((Rect(0, 0, x, HEIGHT), Rect(x, 0, WIDTH - x, HEIGHT)))
    )
    assert (left.x_um < x * 0.25).all()
    assert x * 0.25 in right.x_um
    assert len(left) + len(right) == len(cells)


def test_a_table_knows_its_field_and_its_labels(toy_bundle):
    cells = analysed(factories.slide(1), Field(7, Rect(20, 30, 100, 90)), toy_bundle)
    assert set(cells.field_id.tolist()) == {7}
    assert cells.labels == factories.LABELS
    assert cells.probabilities.shape == (len(cells), len(factories.LABELS))
    assert (cells.x_um >= 5).all()
    assert (cells.x_um < 30).all()
    assert (cells.y_um >= 7.5).all()
    assert (cells.y_um < 30).all()


def test_cells_at_the_edge_of_the_slide_are_marked(toy_bundle):
    cells = analysed(factories.slide(1, HEIGHT, WIDTH), WHOLE, toy_bundle)
    left, right = cells.x_um - cells.width_um / 2, cells.x_um + cells.width_um / 2
    top, bottom = cells.y_um - cells.height_um / 2, cells.y_um + cells.height_um / 2
    cut = (left < 0) | (top < 0) | (right > WIDTH * 0.25) | (bottom > HEIGHT * 0.25)
    assert cut.any()
    assert not cut.all()
    assert (cells.near_missing == cut).all()


def test_cells_that_touch_a_missing_area_are_marked_and_stay(toy_bundle):
    known = analysed(factories.slide(1, HEIGHT, WIDTH), WHOLE, toy_bundle)
    area = Rect(100, 80, 40, 30)
    lacking = factories.slide(1, HEIGHT, WIDTH, missing=(MissingArea(area, "undecodable"),))
    cells = analysed(lacking, WHOLE, toy_bundle)
    assert np.array_equal(cells.x_um, known.x_um)
    newly = cells.near_missing & ~known.near_missing
    assert newly.any()
    gap_x = np.maximum(25.0 - (cells.x_um + cells.width_um / 2), (cells.x_um - cells.width_um / 2) - 35.0)
    gap_y = np.maximum(20.0 - (cells.y_um + cells.height_um / 2), (cells.y_um - cells.height_um / 2) - 27.5)
    assert (newly == ((gap_x < 0) & (gap_y < 0) & ~known.near_missing)).all()


def test_a_field_without_cells_gives_an_empty_table(toy_bundle):
    cells = analysed(factories.slide(1), Field(0, Rect(0, 0, 1, 1)), toy_bundle)
    assert len(cells) == 0
    assert cells.probabilities.shape == (0, len(factories.LABELS))


def test_kinds_that_are_not_counted_are_left_out(tmp_path):
    bundle = factories.bundle(
        tmp_path,
        networks={
            "detector": (factories.heatmap_net(kinds=2), factories.DETECTOR_DEFINITION | {"kinds": 2}),
            "classifier": (factories.crop_net(), factories.CLASSIFIER_DEFINITION),
        },
    )
    cells = analysed(factories.slide(1), WHOLE, bundle)
    from marrow_models.networks.loading import load_networks

    kinds = load_networks(bundle)[0].detect(factories.slide(1), Rect(0, 0, 120, 100), tile_px=256).kind
    assert 0 < (kinds == 0).sum() < len(kinds)
    assert len(cells) == (kinds == 0).sum()


@pytest.mark.parametrize("um", [0.12, 0.25, 0.3])
def test_sizes_are_in_micrometres_whatever_the_slides_scale(toy_bundle, um):
    cells = analysed(factories.slide(1, 300, 300, um), Field(0, Rect(0, 0, 300, 300)), toy_bundle)
    assert len(cells)
    assert cells.x_um.max() < 300 * um
    assert cells.width_um.max() <= factories.DETECTOR.largest_um
