"""A whole smear, drawn small."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from marrow_models.errors import UserError
from marrow_models.phantom.film import TruthCell
from marrow_models.phantom.morphology import morphologies
from marrow_models.phantom.smear import Smear, SmearSpec, render_smear

LABELS = tuple(name for name in morphologies() if name != "megakaryocyte")
SPEC = SmearSpec(LABELS, width_px=1280, height_px=1100)


@cache
def smear(seed: int = 1) -> Smear:
    return render_smear(np.random.default_rng(seed), SPEC)


def overlap(a: TruthCell, b: TruthCell) -> float:
    """Return the intersection over union of two boxes."""
    width = min(a.box_px[2], b.box_px[2]) - max(a.box_px[0], b.box_px[0])
    height = min(a.box_px[3], b.box_px[3]) - max(a.box_px[1], b.box_px[1])
    shared = max(0, width) * max(0, height)
    areas = [(c.box_px[2] - c.box_px[0]) * (c.box_px[3] - c.box_px[1]) for c in (a, b)]
    return shared / (sum(areas) - shared)


def test_the_readable_cells_are_exactly_those_asked_for() -> None:
    assert Counter(cell.label for cell in smear().cells if cell.readable) == Counter(LABELS)


def test_the_picture_has_the_size_asked_for() -> None:
    assert smear().image.shape == (1100, 1280, 3)
    assert smear().image.dtype == np.uint8


def test_readable_cells_lie_wholly_on_the_slide_with_their_centre_in_the_box() -> None:
    for cell in smear().cells:
        left, top, right, bottom = cell.box_px
        assert cell.x_px == (left + right) / 2
        assert cell.y_px == (top + bottom) / 2
        if cell.readable:
            assert 0 <= left < right <= 1280
            assert 0 <= top < bottom <= 1100


@pytest.mark.parametrize("seed", [1, 2])
def test_boxes_of_readable_cells_hardly_overlap(seed: int) -> None:
    cells = [cell for cell in smear(seed).cells if cell.readable]
    assert max(overlap(a, b) for i, a in enumerate(cells) for b in cells[:i]) < 0.2


def test_every_readable_cell_can_be_seen_in_its_box() -> None:
    image = smear().image.astype(int).sum(axis=2)
    background = np.median(image)
    for cell in smear().cells:
        if cell.readable:
            left, top, right, bottom = cell.box_px
            darkest = np.percentile(image[top:bottom, left:right], 15)
            assert darkest < background - 150


def test_cells_in_the_clot_and_out_of_focus_are_in_the_truth_but_not_readable() -> None:
    unreadable = [cell for cell in smear().cells if not cell.readable]
    assert len(unreadable) > 10


def test_a_smear_without_regions_holds_readable_cells_only() -> None:
    spec = SmearSpec(LABELS[:4], 600, 600, clot=False, blurred=False, glass=False)
    cells = render_smear(np.random.default_rng(1), spec).cells
    assert len(cells) == 4
    assert all(cell.readable for cell in cells)


def test_bare_glass_is_lighter_and_smoother_than_the_film() -> None:
    bare = render_smear(np.random.default_rng(3), SmearSpec((), 500, 500, clot=False, blurred=False)).image
    corners = [bare[:60, :60], bare[:60, -60:], bare[-60:, :60], bare[-60:, -60:]]
    deviations = sorted(float(corner.std()) for corner in corners)
    assert deviations[0] < 0.5 * deviations[-1]


def test_the_same_generator_paints_the_same_smear_and_another_one_another() -> None:
    spec = SmearSpec(LABELS[:6], 700, 600)
    first, again, other = (render_smear(np.random.default_rng(seed), spec) for seed in (8, 8, 9))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.cells == again.cells
    assert not np.array_equal(first.image, other.image)


def test_a_smear_too_small_for_its_cells_is_refused() -> None:
    with pytest.raises(UserError, match="no room"):
        render_smear(np.random.default_rng(1), SmearSpec(LABELS * 4, 600, 600))
