"""What the detector is shown, and what it is told of it."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marrow_models.detection import BOX_UNIT_PX
from marrow_models.networks.heatmap import OUTPUT_STRIDE_PX
from marrow_models.training.augment import Variety
from marrow_models.training.detector import GLASS, LEAST_SEEN, DetectorTraining, _loss, stacked, target_of, view_of
from marrow_models.training.loop import Effort
from marrow_models.training.pictures import MarkedPictures

NONE = np.zeros((0, 4), np.float32)
GROUND, FIRST, SECOND, VEILED = 200, 20, 90, 140
"""Grey of the ground, of an object of either kind, and of what is to be ignored."""


def training(window_px=64, **variety):
    return DetectorTraining(Effort(steps=1, batch=1), window_px, Variety(**({"turns": True} | variety)))


def drawn(size, boxes=(), ignored=(), kinds=None):
    """A picture of grey rectangles, as (height, width) says, marked as they lie."""
    image = np.full((*size, 3), GROUND, np.uint8)
    names = np.zeros(len(boxes), np.int64) if kinds is None else np.asarray(kinds)
    for group, greys in ((ignored, [VEILED] * len(ignored)), (boxes, [(FIRST, SECOND)[kind] for kind in names])):
        for (left, top, right, bottom), grey in zip(group, greys, strict=True):
            image[top:bottom, left:right] = grey
    given_boxes, off = (np.asarray(group, np.float32).reshape(-1, 4) for group in (boxes, ignored))
    return MarkedPictures([image], (given_boxes,), (names,), (off,), 0.5)


def told_boxes(target):
    """(kind, left, top, right, bottom) of each object that a target tells of, in pixels of the view."""
    for kind, row, column in np.argwhere(target.positive):
        offset_x, offset_y, width, height = target.box[:, row, column]
        x, y = (column + offset_x) * OUTPUT_STRIDE_PX, (row + offset_y) * OUTPUT_STRIDE_PX
        half_width, half_height = width * BOX_UNIT_PX / 2, height * BOX_UNIT_PX / 2
        yield kind, x - half_width, y - half_height, x + half_width, y + half_height


def dark(view, grey, tolerance):
    return abs(view[..., 0].astype(int) - grey) <= tolerance


boxes_of = st.tuples(st.integers(0, 70), st.integers(0, 50), st.integers(12, 34), st.integers(12, 34))


@settings(max_examples=60, deadline=None)
@given(
    corner=boxes_of,
    kind=st.integers(0, 1),
    seed=st.integers(0, 10_000),
    log_scale=st.sampled_from([0.0, 0.3]),
    window=st.sampled_from([48, 64, 128]),
)
def test_a_box_lies_on_its_object_however_the_view_is_turned_scaled_and_cut(corner, kind, seed, log_scale, window):
    left, top, width, height = corner
    pictures = drawn((90, 110), [(left, top, left + width, top + height)], kinds=[kind])
    view, target = view_of(pictures, 0, training(window, log_scale=log_scale), 2, np.random.default_rng(seed))
    assert view.shape == (window, window, 3)
    rows, columns = np.nonzero(dark(view, (FIRST, SECOND)[kind], 30))
    found = list(told_boxes(target))
    if not found:
        # It is not told of: the view shows little of it, and that little is not counted.
        assert log_scale or len(rows) < LEAST_SEEN * width * height
        assert not target.near.any()
        assert not target.counted[:, rows // OUTPUT_STRIDE_PX, columns // OUTPUT_STRIDE_PX].any()
        return
    ((told, *edges),) = found
    assert told == kind
    # A resampled edge is soft.
    slack_px = 2.5 if log_scale else 0.01
    assert edges == pytest.approx([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=slack_px)
    assert min(edges) >= 0
    assert max(edges) <= window


@settings(max_examples=40, deadline=None)
@given(corner=boxes_of, seed=st.integers(0, 10_000), window=st.sampled_from([48, 128]))
def test_what_is_ignored_follows_the_picture_too(corner, seed, window):
    left, top, width, height = corner
    pictures = drawn((90, 110), [], [(left, top, left + width, top + height)])
    view, target = view_of(pictures, 0, training(window), 1, np.random.default_rng(seed))
    veiled = dark(view, VEILED, 2).reshape(window // 4, 4, window // 4, 4)
    assert np.array_equal(~target.counted[0], veiled.any(axis=(1, 3)))
    assert not target.positive.any()


@pytest.mark.parametrize("turns", [False, True])
def test_views_are_windows_of_the_picture_itself(turns):
    image = np.random.default_rng(0).integers(0, 256, (80, 96, 3), np.uint8)
    pictures = MarkedPictures([image], (NONE,), (np.zeros(0, np.int64),), (NONE,), 0.5)
    seen = set()
    for seed in range(30):
        view, _ = view_of(pictures, 0, training(48, turns=turns), 1, np.random.default_rng(seed))
        lays = [np.rot90(v, k) for v in (view, view[:, ::-1]) for k in range(4)] if turns else [view]
        places = [
            (number, row, column)
            for number, lay in enumerate(lays)
            for row, column in np.argwhere((image[: 80 - 47, : 96 - 47] == lay[0, 0]).all(axis=2))
            if np.array_equal(image[row : row + 48, column : column + 48], lay)
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len({place[1:] for place in seen}) > 20
    assert len({place[0] for place in seen}) == (8 if turns else 1)


def test_a_picture_smaller_than_the_window_lies_anywhere_on_glass():
    pictures = drawn((40, 30), [(5, 5, 25, 35)])
    lefts = set()
    for seed in range(20):
        view, target = view_of(pictures, 0, training(64, turns=False), 1, np.random.default_rng(seed))
        rows, columns = np.nonzero(view[..., 0] != GLASS)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (40, 30)
        ((_, *edges),) = told_boxes(target)
        assert edges == pytest.approx(
            [columns.min() + 5, rows.min() + 5, columns.min() + 25, rows.min() + 35], abs=0.01
        )
        lefts.add(int(columns.min()))
    assert len(lefts) > 8


def test_a_cell_hardly_seen_is_neither_to_be_found_nor_held_against_the_network():
    # The picture is as wide as the window: rows move only, and cut more or less of the cell at the bottom.
    pictures = drawn((100, 64), [(16, 60, 48, 100)])
    told, ignored = [], []
    for seed in range(200):
        view, target = view_of(pictures, 0, training(64, turns=False), 1, np.random.default_rng(seed))
        rows, columns = np.nonzero(dark(view, FIRST, 2))
        counted = target.counted[0, rows // OUTPUT_STRIDE_PX, columns // OUTPUT_STRIDE_PX]
        if target.positive.any():
            told.append(len(rows) / (32 * 40))
            assert counted.all()
        else:
            ignored.append(len(rows) / (32 * 40))
            assert not counted.any()
    assert 0 < min(ignored) < max(ignored) < LEAST_SEEN <= min(told) < max(told) == 1


@pytest.mark.parametrize(("seen_rows", "told"), [(6, False), (9, False), (10, True), (12, True)])
def test_from_a_quarter_on_a_cell_is_to_be_found(seen_rows, told):
    # The picture is as large as the window, and its lower edge cuts the cell of 40 rows.
    pictures = drawn((64, 64), [(16, 64 - seen_rows, 48, 104 - seen_rows)])
    _, target = view_of(pictures, 0, training(64, turns=False), 1, np.random.default_rng(0))
    assert bool(target.positive.any()) == told
    assert bool(target.counted[0, -1, 6]) == told
    assert target.counted[0, 0].all()


def test_without_turns_and_scales_a_picture_of_the_windows_size_is_shown_as_it_is():
    pictures = drawn((64, 64), [(8, 8, 24, 28)])
    view, _ = view_of(pictures, 0, training(64, turns=False), 1, np.random.default_rng(3))
    assert np.array_equal(view, pictures.images[0])


def test_a_scaled_view_shows_its_objects_larger_or_smaller():
    pictures = drawn((300, 300), [(130, 130, 170, 170)])
    sizes = []
    for seed in range(60):
        how = training(400, turns=False, log_scale=0.3)
        _, target = view_of(pictures, 0, how, 1, np.random.default_rng(seed))
        sizes += [right - left for _, left, _, right, _ in told_boxes(target)]
    assert len(sizes) > 50
    assert np.log(np.asarray(sizes) / 40).std() == pytest.approx(0.3, rel=0.3)


def answers(target, training, *, x=0.0, y=0.0, larger=1.0, iou_weight=1.0, l1_weight=0.0):
    """The loss of a network that is sure of all centres and says boxes that are off by pixels or too large."""
    logits = torch.where(torch.from_numpy(target.positive), 9.0, -9.0)[None]
    said = torch.from_numpy(target.box).clone()[None]
    said[:, 0] += x / OUTPUT_STRIDE_PX
    said[:, 1] += y / OUTPUT_STRIDE_PX
    said[:, 2:] *= larger
    said.requires_grad_()
    value = _loss(
        logits, said, stacked([target]), dataclasses.replace(training, iou_weight=iou_weight, l1_weight=l1_weight)
    )
    return value, said


def test_the_overlap_loss_is_least_for_the_right_box_and_grows_with_every_error():
    target = target_of(np.asarray([[20, 24, 52, 56]], np.float32), NONE, 96)
    how = training(96)
    right = float(answers(target, how)[0].detach())
    assert right == pytest.approx(0, abs=0.01)
    for errors in ([{"x": 4}, {"x": 8}, {"x": 16}], [{"y": -4}, {"y": -16}], [{"larger": 1.2}, {"larger": 1.6}]):
        losses = [right, *(float(answers(target, how, **error)[0].detach()) for error in errors)]
        assert losses == sorted(losses)
        assert losses[-1] > losses[0] + 0.1


def test_the_overlap_loss_says_where_to_go_also_when_boxes_do_not_touch():
    target = target_of(np.asarray([[20, 24, 52, 56]], np.float32), NONE, 96)
    value, said = answers(target, training(96), x=60)
    assert float(value.detach()) > 1
    value.backward()
    near = torch.from_numpy(target.near > 0)
    assert (said.grad[0, 0][near] > 0).all()
    assert (said.grad[0][:, ~near] == 0).all()


def test_boxes_of_no_size_give_a_loss_and_a_gradient_that_are_finite():
    target = target_of(np.asarray([[20, 24, 52, 56]], np.float32), NONE, 96)
    value, said = answers(target, training(96), larger=-1.0, l1_weight=1.0)
    value.backward()
    assert bool(value.isfinite())
    assert bool(said.grad.isfinite().all())


def test_a_batch_without_objects_has_a_loss_too():
    target = target_of(NONE, NONE, 64)
    value, said = answers(target, training(64), l1_weight=1.0)
    assert float(value.detach()) == pytest.approx(0, abs=1e-3)
    value.backward()
    assert (said.grad == 0).all()
