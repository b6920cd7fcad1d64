import numpy as np
import pytest
import torch

from marrow_models.detection import BOX_UNIT_PX
from marrow_models.networks.heatmap import OUTPUT_STRIDE_PX
from marrow_models.pyramid.scale import resampled
from marrow_models.records import Rect
from marrow_models.training.detector import (
    _turned,
    _turned_values,
    augmented,
    focal_loss,
    reduced,
    target_of,
)

NONE = np.zeros((0, 4), np.float32)


def box(*edges):
    return np.asarray([edges], np.float32)


def test_a_centre_is_marked_where_it_lies_and_falls_off_around():
    target = target_of(box(20, 36, 44, 52), NONE, 128)
    assert np.argwhere(target.positive).tolist() == [[11, 8]]
    assert target.centre[11, 8] == pytest.approx(1, abs=0.01)
    assert target.centre[11, 8] > target.centre[11, 9] > target.centre[11, 11]
    assert target.centre.max() <= 1


def test_the_box_branch_is_told_offset_and_size():
    target = target_of(box(21, 36, 45, 53), NONE, 128)
    offset_x, offset_y, width, height = target.box[:, 11, 8]
    assert (8 + offset_x) * OUTPUT_STRIDE_PX == pytest.approx(33)
    assert (11 + offset_y) * OUTPUT_STRIDE_PX == pytest.approx(44.5)
    assert (width * BOX_UNIT_PX, height * BOX_UNIT_PX) == pytest.approx((24, 17))


def test_what_is_ignored_is_not_counted_except_at_a_true_centre():
    target = target_of(box(40, 40, 60, 60), box(32, 32, 64, 64), 128)
    assert not target.counted[9, 9]
    assert target.counted[12, 12]
    assert target.counted[2, 2]


def test_boxes_at_the_border_stay_in_the_map():
    target = target_of(box(120, -10, 136, 8), box(-20, 100, 10, 140), 128)
    assert target.positive.sum() == 1
    assert not target.counted[31, 0]


def test_the_focal_loss_is_least_for_the_right_answer():
    target = target_of(box(20, 36, 44, 52), NONE, 128)
    centre, positive, counted = (
        torch.from_numpy(part)[None, None] for part in (target.centre, target.positive, target.counted)
    )
    right = torch.where(positive, 8.0, -8.0)
    losses = [float(focal_loss(logits, centre, positive, counted)) for logits in (right, right * 0, -right)]
    assert losses[0] < 0.01 < losses[1] < losses[2]


def test_the_focal_loss_forgives_a_guess_next_to_a_centre_and_none_far_away():
    target = target_of(box(20, 36, 44, 52), NONE, 128)
    centre, positive, counted = (
        torch.from_numpy(part)[None, None] for part in (target.centre, target.positive, target.counted)
    )

    def loss_with_guess(row, column):
        logits = torch.where(positive, 8.0, -8.0)
        logits[0, 0, row, column] = 3.0
        return float(focal_loss(logits, centre, positive, counted))

    assert loss_with_guess(11, 9) < loss_with_guess(11, 25) / 3


def test_nothing_is_lost_where_nothing_is_counted():
    target = target_of(NONE, box(0, 0, 128, 128), 128)
    parts = (torch.from_numpy(part)[None, None] for part in (target.centre, target.positive, target.counted))
    assert float(focal_loss(torch.full((1, 1, 32, 32), 9.0), *parts)) == 0


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
def test_turning_picture_and_target_is_the_target_of_the_turned_picture(flip_x, flip_y, swap):
    size = 64
    left, top, right, bottom = 11.0, 30.0, 31.0, 45.0
    target = target_of(box(left, top, right, bottom), NONE, size)
    if flip_x:
        left, right = size - right, size - left
    if flip_y:
        top, bottom = size - bottom, size - top
    if swap:
        left, top, right, bottom = top, left, bottom, right
    expected = target_of(box(left, top, right, bottom), NONE, size)
    how = {"flip_x": flip_x, "flip_y": flip_y, "swap": swap}
    positive = _turned(torch.from_numpy(target.positive)[None, None], **how)[0, 0].numpy()
    values = _turned_values(_turned(torch.from_numpy(target.box)[None], **how), **how)[0].numpy()
    assert np.array_equal(positive, expected.positive)
    assert values[:, positive] == pytest.approx(expected.box[:, expected.positive], abs=1e-5)


def test_fields_are_reduced_as_a_slide_is():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)

    def read(rect):
        padded = np.pad(image, ((0, 64), (0, 64), (0, 0)), constant_values=255)
        return padded[rect.y : rect.bottom, rect.x : rect.right]

    of_slide = resampled(read, 2.0, Rect(0, 0, 32, 32))
    assert abs(reduced(image[None], 2)[0].astype(int) - of_slide).max() <= 1


def test_augmented_pictures_hold_whole_pixel_values_and_differ():
    images = torch.randint(0, 256, (4, 3, 16, 16)).float()
    changed = augmented(images, np.random.default_rng(0))
    assert torch.equal(changed, changed.round())
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert not torch.equal(changed, images)
    assert torch.equal(changed, augmented(images, np.random.default_rng(0)))
    assert (changed - images).abs().mean() < 40
