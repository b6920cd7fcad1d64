import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from marrow_models.detection import (
    LARGEST_LAYER_BYTES,
    SAME_OBJECT_INSIDE,
    SAME_OBJECT_IOU,
    SUBPIXELS,
    Detections,
    Detector,
    _maxima,
    duplicates,
)
from marrow_models.errors import Reason, SlideRefused
from marrow_models.networks.heatmap import OUTPUT_STRIDE_PX, HeatmapNet
from marrow_models.networks.lattice import STEPS_PER_UNIT, fold, folded_structure
from marrow_models.records import Rect
from tests.unit.cell_models.factories import DETECTOR, heatmap_net, slide

WHOLE = Rect(0, 0, 120, 100)


def detector(**changes):
    return Detector(fold(heatmap_net()), dataclasses.replace(DETECTOR, **changes))


def boxes(*rows, kind=0):
    """Detections from (x, y, width, height, score) in pixels."""
    columns = np.asarray(rows, float).reshape(-1, 5).T
    units = [np.rint(column * SUBPIXELS).astype(np.int64) for column in columns[:4]]
    return Detections(*units, columns[4], np.full(len(rows), kind, np.int64))


def rows_of(found):
    return list(zip(*(getattr(found, f.name).tolist() for f in dataclasses.fields(found)), strict=True))


@settings(max_examples=20, deadline=None)
@given(tile=st.integers(25, 150), shift=st.floats(0, 0.99), seed=st.integers(0, 5))
def test_no_tile_grid_changes_a_cell(tile, shift, seed):
    source = slide(seed)
    expected = detector().detect(source, WHOLE, tile_px=500)
    found = detector().detect(source, WHOLE, tile_px=tile, shift_px=int(shift * tile))
    assert len(expected) > 20
    assert rows_of(found) == rows_of(expected)


@settings(max_examples=15, deadline=None)
@given(x=st.integers(1, 119), y=st.integers(1, 99))
def test_a_region_cut_in_four_has_the_cells_of_the_whole(x, y):
    source, network = slide(2), detector()
    parts = [Rect(0, 0, x, y), Rect(x, 0, 120 - x, y), Rect(0, y, x, 100 - y), Rect(x, y, 120 - x, 100 - y)]
    found = Detections.concatenate([network.detect(source, part, tile_px=64) for part in parts])
    assert rows_of(found) == rows_of(network.detect(source, WHOLE, tile_px=64))


def test_regions_read_one_behind_the_other_have_the_cells_of_each():
    source, network = slide(4), detector()
    regions = [Rect(60, 10, 50, 80), Rect(0, 0, 30, 20), Rect(5, 5, 0, 9), Rect(0, 0, 60, 100)]
    found = network.detect_each(source, regions, tile_px=40)
    assert [rows_of(each) for each in found] == [rows_of(network.detect(source, r, tile_px=500)) for r in regions]
    assert sum(map(len, found)) > 10


def test_a_network_with_a_wide_first_layer_gets_smaller_tiles():
    network = detector()
    assert network.cut(1040).most_px == LARGEST_LAYER_BYTES / network.network.first_layer_bytes
    seen = Detector(folded_structure(HeatmapNet(1, (64, 64, 64))), DETECTOR).cut(1040)
    columns, rows = seen.counts(1040, 1040)
    read = (1040 / columns + 2 * seen.halo_px) * (1040 / rows + 2 * seen.halo_px)
    assert columns * rows > 1
    assert read * 64 <= LARGEST_LAYER_BYTES


def test_more_threads_change_no_cell():
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(rows_of(detector().detect(slide(1), WHOLE, tile_px=90)))
    torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_centres_lie_in_the_region_and_cells_are_sorted():
    found = detector().detect(slide(4), Rect(30, 20, 50, 60), tile_px=40)
    assert len(found)
    assert (found.x >= 30 * SUBPIXELS).all()
    assert (found.x < 80 * SUBPIXELS).all()
    assert (found.y >= 20 * SUBPIXELS).all()
    assert (found.y < 80 * SUBPIXELS).all()
    assert sorted(zip(found.y, found.x, strict=True)) == list(zip(found.y, found.x, strict=True))


def test_only_scores_from_the_threshold_on_are_taken():
    low, high = (detector(score_threshold=t).detect(slide(1), WHOLE, tile_px=120) for t in (0.2, 0.8))
    assert high.score.min() >= 0.8
    assert 0.2 <= low.score.min() < 0.8
    assert low.score.max() <= 1


def test_no_box_is_larger_than_the_largest_or_smaller_than_a_micrometre():
    found = detector(largest_um=3.0).detect(slide(1), WHOLE, tile_px=120)
    for side in (found.width, found.height):
        assert side.max() == 6 * SUBPIXELS
        assert side.min() == 2 * SUBPIXELS  # at 0.5 um a pixel


def test_each_kind_has_its_own_map():
    network = Detector(fold(heatmap_net(kinds=3)), DETECTOR)
    assert set(network.detect(slide(1), WHOLE, tile_px=120).kind.tolist()) == {0, 1, 2}


def test_an_empty_region_holds_nothing():
    assert len(detector().detect(slide(1), Rect(10, 10, 0, 30), tile_px=50)) == 0


def test_a_flat_picture_in_which_all_places_are_equal_gives_no_two_boxes_on_one_place():
    network = folded_structure(heatmap_net())
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.zero_()
            module.bias.zero_()
    network.box.bias.copy_(torch.tensor([0.5, 0.5, 1.0, 1.0]) * STEPS_PER_UNIT)
    found = Detector(network, dataclasses.replace(DETECTOR, score_threshold=0.5)).detect(slide(1), WHOLE, tile_px=77)
    # One rank order over the plateau: every box but those without a better neighbour goes, in every tile alike.
    assert rows_of(found) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_no_number_refuses_the_slide(value):
    network = fold(heatmap_net())
    network.centre.bias.fill_(value)
    with pytest.raises(SlideRefused) as refused:
        Detector(network, DETECTOR).detect(slide(1), WHOLE, tile_px=120)
    assert refused.value.reason is Reason.MODEL_OUTPUT


def test_the_lower_of_two_boxes_on_one_object_goes():
    found = boxes((50, 50, 20, 20, 0.6), (52, 50, 20, 20, 0.9))
    assert duplicates(found, 24).tolist() == [True, False]


def test_a_small_box_inside_a_large_one_goes():
    found = boxes((50, 50, 30, 30, 0.9), (53, 52, 8, 8, 0.6))
    assert duplicates(found, 24).tolist() == [False, True]


def test_touching_cells_stay_two_cells():
    found = boxes((50, 50, 20, 20, 0.9), (66, 50, 20, 20, 0.6))
    assert not duplicates(found, 24).any()


def test_of_two_equal_scores_the_upper_left_one_stays():
    found = boxes((52, 50, 20, 20, 0.9), (50, 50, 20, 20, 0.9), (51, 48, 20, 20, 0.9))
    assert duplicates(found, 24).tolist() == [True, True, False]


def test_a_box_that_goes_still_makes_its_neighbour_go():
    chain = boxes((50, 50, 20, 20, 0.9), (57, 50, 20, 20, 0.8), (64, 50, 20, 20, 0.7))
    assert duplicates(chain, 24).tolist() == [False, True, True]


def test_boxes_of_different_kinds_do_not_suppress_each_other():
    a, b = boxes((50, 50, 20, 20, 0.9)), boxes((50, 50, 20, 20, 0.8), kind=1)
    assert not duplicates(Detections.concatenate([a, b]), 24).any()


def test_boxes_further_apart_than_the_reach_are_never_duplicates():
    found = boxes((50, 50, 60, 60, 0.9), (60, 50, 60, 60, 0.8))
    assert duplicates(found, 10).tolist() == [False, True]
    assert duplicates(found, 9).tolist() == [False, False]


box_rows = st.tuples(
    st.integers(0, 60), st.integers(0, 60), st.integers(4, 30), st.integers(4, 30), st.sampled_from([0.3, 0.5, 0.9])
)


@given(rows=st.lists(box_rows, min_size=1, max_size=25, unique_by=lambda row: row[:2]), data=st.data())
def test_what_becomes_of_a_box_depends_on_its_neighbours_alone(rows, data):
    reach = 12
    found = boxes(*rows)
    gone = duplicates(found, reach)
    index = data.draw(st.integers(0, len(rows) - 1))
    near = np.maximum(abs(found.x - found.x[index]), abs(found.y - found.y[index])) <= reach * SUBPIXELS
    alone = duplicates(found.take(near), reach)
    assert alone[np.flatnonzero(near).tolist().index(index)] == gone[index]


@given(rows=st.lists(box_rows, min_size=1, max_size=25), kinds=st.lists(st.integers(0, 2), min_size=25, max_size=25))
def test_duplicates_are_those_that_a_look_at_all_pairs_finds(rows, kinds):
    found = dataclasses.replace(boxes(*rows), kind=np.asarray(kinds[: len(rows)]))
    rank = sorted(range(len(rows)), key=lambda i: (-found.score[i], found.kind[i], found.y[i], found.x[i]))
    gone = {
        low
        for place, high in enumerate(rank)
        for low in rank[place + 1 :]
        if found.kind[high] == found.kind[low] and on_one_object(found, high, low, 12 * SUBPIXELS)
    }
    assert np.flatnonzero(duplicates(found, 12)).tolist() == sorted(gone)


def on_one_object(found, a, b, reach):
    """The rule in words: near enough, and enough of both or of the smaller in common."""
    common = 1.0
    for centre, side in ((found.x, found.width), (found.y, found.height)):
        low = max(centre[a] - side[a] / 2, centre[b] - side[b] / 2)
        high = min(centre[a] + side[a] / 2, centre[b] + side[b] / 2)
        common *= max(high - low, 0.0)
    areas = [float(found.width[i] * found.height[i]) for i in (a, b)]
    near = max(abs(found.x[a] - found.x[b]), abs(found.y[a] - found.y[b])) <= reach
    return near and (common / (sum(areas) - common) >= SAME_OBJECT_IOU or common / min(areas) >= SAME_OBJECT_INSIDE)


@given(rows=st.lists(box_rows, min_size=1, max_size=25, unique_by=lambda row: row[:2]), data=st.data())
def test_the_order_of_the_boxes_decides_nothing(rows, data):
    order = data.draw(st.permutations(range(len(rows))))
    found = boxes(*rows)
    assert duplicates(found.take(np.asarray(order)), 12).tolist() == duplicates(found, 12)[np.asarray(order)].tolist()


@given(rows=st.lists(box_rows, min_size=1, max_size=25, unique_by=lambda row: row[:2]))
def test_the_best_box_always_stays(rows):
    found = boxes(*rows)
    best = max(range(len(rows)), key=lambda i: (found.score[i], -found.y[i], -found.x[i]))
    assert not duplicates(found, 12)[best]


def test_the_halo_holds_the_reach_of_the_network_and_the_duplicates():
    network = heatmap_net()
    assert detector().halo_px >= network.reach_px + DETECTOR.duplicate_um / DETECTOR.um_per_px + OUTPUT_STRIDE_PX


@pytest.mark.parametrize("shape", [(1, 40, 57), (3, 31, 8), (2, 1, 9), (1, 1, 1)])
@pytest.mark.parametrize("threshold", [-9.0, 0.0, 0.875, 50.0])
def test_peaks_are_the_maxima_of_their_neighbourhood(shape, threshold):
    """Also where neighbours are equal, and at the edges."""
    draw = torch.Generator().manual_seed(len(shape) + shape[1])
    scores = torch.randint(-40, 9, shape, generator=draw).float() / 8
    highest = functional.max_pool2d(scores[None], 3, stride=1, padding=1)[0]
    expected = torch.nonzero((scores == highest) & (scores >= threshold), as_tuple=True)
    assert all(map(torch.equal, _maxima(scores, threshold), expected))
