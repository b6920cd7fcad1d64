"""Where cells lie."""

import numpy as np
import pytest

from marrow_models.errors import UserError
from marrow_models.phantom.cells import CellPlan, plan_cell
from marrow_models.phantom.morphology import morphologies
from marrow_models.phantom.placement import Frame, PlacedCell, place_anywhere, place_apart
from marrow_models.phantom.regions import Region, sample_region

FRAME = Frame(0, 0, 400, 300)


def plans(number: int, seed: int = 0) -> list[CellPlan]:
    rng = np.random.default_rng(seed)
    kinds = list(morphologies().values())
    return [plan_cell(rng, kinds[int(rng.integers(len(kinds)))]) for _ in range(number)]


def gaps(cells: list[PlacedCell]) -> np.ndarray:
    x, y, r = (np.array(v) for v in zip(*((c.x_um, c.y_um, c.plan.radius_um) for c in cells), strict=True))
    gap = np.hypot(x[:, None] - x, y[:, None] - y) - r[:, None] - r
    return gap[np.triu_indices(len(cells), 1)]


@pytest.mark.parametrize("seed", range(4))
def test_without_touching_every_pair_keeps_its_distance(seed: int) -> None:
    cells = place_apart(np.random.default_rng(seed), plans(60, seed), FRAME, (), touching=0)
    assert len(cells) == 60
    assert gaps(cells).min() >= 1.5


def test_some_pairs_touch_but_none_overlap_much() -> None:
    cells = place_apart(np.random.default_rng(2), plans(60), FRAME, (), touching=0.3)
    close = gaps(cells) < 1.5
    assert 5 <= close.sum() <= 30
    assert gaps(cells).min() > -0.05 * 2 * 20


@pytest.mark.parametrize("seed", range(4))
def test_cells_lie_wholly_in_the_frame_and_off_the_regions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    region = sample_region(rng, (200, 150), 60)
    cells = place_apart(rng, plans(40, seed), FRAME, (region,))
    for cell in cells:
        reach = cell.plan.radius_um
        assert reach < cell.x_um < 400 - reach
        assert reach < cell.y_um < 300 - reach
        distance = region.distance_um(np.array([cell.x_um], np.float32), np.array([cell.y_um], np.float32))
        assert distance[0] > reach
        assert cell.readable


def test_too_many_cells_are_refused_with_what_to_do() -> None:
    with pytest.raises(UserError, match="larger or ask for fewer"):
        place_apart(np.random.default_rng(1), plans(60), Frame(0, 0, 90, 90), ())


def test_too_many_cells_are_left_out_where_that_is_allowed() -> None:
    cells = place_apart(np.random.default_rng(1), plans(60), Frame(0, 0, 90, 90), (), strict=False)
    assert 2 < len(cells) < 60


def test_a_frame_smaller_than_a_cell_is_refused() -> None:
    with pytest.raises(UserError, match="smaller than a cell"):
        place_apart(np.random.default_rng(1), plans(1), Frame(0, 0, 8, 8), ())


def test_cells_of_a_region_repeat_plans_and_cannot_be_read() -> None:
    region = Region(50, 60, 20, 30)
    own = plans(3)
    cells = place_anywhere(np.random.default_rng(1), own, region, 10)
    assert len(cells) == 10
    assert {id(cell.plan) for cell in cells} == {id(plan) for plan in own}
    assert not any(cell.readable for cell in cells)
    x, y = (np.array(v, np.float32) for v in zip(*((c.x_um, c.y_um) for c in cells), strict=True))
    assert (region.distance_um(x, y) < 0).all()
