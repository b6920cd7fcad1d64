import numpy as np
import pytest
import torch

from marrow_models.detection import BOX_UNIT_PX
from marrow_models.networks.heatmap import OUTPUT_STRIDE_PX
from marrow_models.training.detector import focal_loss, target_of

NONE = np.zeros((0, 4), np.float32)


def box(*edges):
    return np.asarray([edges], np.float32)


def test_a_centre_is_marked_where_it_lies_and_falls_off_around():
    target = target_of(box(20, 36, 44, 52), NONE, 128)
    assert np.argwhere(target.positive).tolist() == [[0, 11, 8]]
    assert target.centre[0, 11, 8] == pytest.approx(1, abs=0.01)
    assert target.centre[0, 11, 8] > target.centre[0, 11, 9] > target.centre[0, 11, 11]
    assert target.centre.max() <= 1


def test_the_box_branch_is_told_offset_and_size():
    target = target_of(box(21, 36, 45, 53), NONE, 128)
    offset_x, offset_y, width, height = target.box[:, 11, 8]
    assert (8 + offset_x) * OUTPUT_STRIDE_PX == pytest.approx(33)
    assert (11 + offset_y) * OUTPUT_STRIDE_PX == pytest.approx(44.5)
    assert (width * BOX_UNIT_PX, height * BOX_UNIT_PX) == pytest.approx((24, 17))


def test_what_is_ignored_is_not_counted_except_at_a_true_centre():
    target = target_of(box(40, 40, 60, 60), box(32, 32, 64, 64), 128)
    assert not target.counted[0, 9, 9]
    assert target.counted[0, 12, 12]
    assert target.counted[0, 2, 2]


def test_boxes_at_the_border_stay_in_the_map():
    target = target_of(box(120, -10, 136, 8), box(-20, 100, 10, 140), 128)
    assert target.positive.sum() == 1
    assert not target.counted[0, 31, 0]


def test_the_focal_loss_is_least_for_the_right_answer():
    target = target_of(box(20, 36, 44, 52), NONE, 128)
    centre, positive, counted = (
        torch.from_numpy(part)[None] for part in (target.centre, target.positive, target.counted)
    )
    right = torch.where(positive, 8.0, -8.0)
    losses = [float(focal_loss(logits, centre, positive, counted)) for logits in (right, right * 0, -right)]
    assert losses[0] < 0.01 < losses[1] < losses[2]


def test_the_focal_loss_forgives_a_guess_next_to_a_centre_and_none_far_away():
    target = target_of(box(20, 36, 44, 52), NONE, 128)
    centre, positive, counted = (
        torch.from_numpy(part)[None] for part in (target.centre, target.positive, target.counted)
    )

    def loss_with_guess(row, column):
        logits = torch.where(positive, 8.0, -8.0)
        logits[0, 0, row, column] = 3.0
        return float(focal_loss(logits, centre, positive, counted))

    assert loss_with_guess(11, 9) < loss_with_guess(11, 25) / 3


def test_nothing_is_lost_where_nothing_is_counted():
    target = target_of(NONE, box(0, 0, 128, 128), 128)
    parts = (torch.from_numpy(part)[None] for part in (target.centre, target.positive, target.counted))
    assert float(focal_loss(torch.full((1, 1, 32, 32), 9.0), *parts)) == 0


def parts_of(target):
    return (torch.from_numpy(part)[None] for part in (target.centre, target.positive, target.counted))


def test_each_kind_has_a_map_of_its_own_and_all_share_the_boxes():
    boxes = np.concatenate([box(20, 36, 44, 52), box(80, 84, 92, 92)])
    target = target_of(boxes, NONE, 128, np.asarray([2, 0]), 3)
    assert np.argwhere(target.positive).tolist() == [[0, 22, 21], [2, 11, 8]]
    assert target.centre[1].max() == 0
    assert target.centre[0, 11, 8] < 0.01 < target.centre[2, 11, 8]
    assert target.box[2, 11, 8] * BOX_UNIT_PX == pytest.approx(24)
    assert target.box[2, 22, 21] * BOX_UNIT_PX == pytest.approx(12)


def test_what_is_ignored_is_ignored_in_the_maps_of_all_kinds():
    target = target_of(box(40, 40, 60, 60), box(32, 32, 64, 64), 128, np.asarray([1]), 2)
    assert not target.counted[:, 9, 9].any()
    assert target.counted[:, 12, 12].tolist() == [False, True]


def test_an_empty_field_counts_everywhere_and_teaches_no_box():
    target = target_of(NONE, NONE, 64, kind_count=2)
    assert target.counted.all()
    assert target.counted.shape == (2, 16, 16)
    assert not target.positive.any()
    assert not target.near.any()


def test_cells_next_to_a_centre_learn_the_same_box_from_where_they_are():
    target = target_of(box(21, 36, 45, 53), NONE, 128)
    rows, columns = np.nonzero(target.near)
    assert len(rows) > 1
    assert abs(rows - 11).max() <= 1
    assert abs(columns - 8).max() <= 1
    for row, column in zip(rows, columns, strict=True):
        offset_x, offset_y, width, height = target.box[:, row, column]
        assert (column + offset_x) * OUTPUT_STRIDE_PX == pytest.approx(33)
        assert (row + offset_y) * OUTPUT_STRIDE_PX == pytest.approx(44.5)
        assert (width * BOX_UNIT_PX, height * BOX_UNIT_PX) == pytest.approx((24, 17))
    assert target.near[11, 8] == target.near.max() == pytest.approx(target.centre[0, 11, 8])


@pytest.mark.parametrize("turned", [False, True])
def test_a_cell_between_two_objects_learns_the_one_that_it_is_more_on_whatever_their_order(turned):
    # Centres in columns 8 and 10 of the output: column 9 is next to both, and the second object is the wider.
    boxes = np.concatenate([box(20, 20, 44, 44), box(18, 20, 66, 44)])
    target = target_of(boxes[::-1] if turned else boxes, NONE, 128)
    columns = np.flatnonzero(target.near[8])
    learned = [float(column + target.box[0, 8, column]) * OUTPUT_STRIDE_PX for column in columns]
    assert columns.tolist() == [7, 8, 9, 10, 11]
    assert learned == pytest.approx([32, 32, 42, 42, 42])


def test_the_focal_loss_counts_each_kind():
    boxes = np.concatenate([box(20, 36, 44, 52), box(80, 84, 92, 92)])
    target = target_of(boxes, NONE, 128, np.asarray([1, 0]), 2)
    centre, positive, counted = parts_of(target)
    right = torch.where(positive, 8.0, -8.0)
    swapped = right.flip(1)
    assert float(focal_loss(right, centre, positive, counted)) < 0.01
    assert float(focal_loss(swapped, centre, positive, counted)) > 5
