"""The promise about tiles, on the shipped networks and a stored slide: no way of cutting it changes a cell."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marrow_models.analysis import analyse_field, analyse_pixels
from marrow_models.bundle import load_bundle, shipped_bundles
from marrow_models.networks.loading import load_networks
from marrow_models.phantom.training import training_field
from marrow_models.records import CellTable, Field, Rect
from marrow_models.training.array_slide import ArraySlide

SIDE_PX = 640
COLUMNS = ("x_um", "y_um", "width_um", "height_um", "detection_score", "probabilities", "near_missing")

pytestmark = pytest.mark.skipif("phantom" not in shipped_bundles(), reason="no trained bundle is shipped")


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("phantom")


@pytest.fixture(scope="module")
def drawn():
    return training_field(np.random.default_rng(20), size_px=SIDE_PX, um_per_px=0.25, readable_only=True, density=1.5)


@pytest.fixture(scope="module")
def whole(bundle, drawn):
    field = Field(0, Rect(0, 0, SIDE_PX, SIDE_PX))
    return analyse_pixels(ArraySlide(drawn.image, 0.25), (field,), bundle, batch_size=64, tile_px=1024)


def same(a, b):
    return len(a) == len(b) and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in COLUMNS)


def test_the_networks_find_the_cells_that_were_drawn(drawn, whole):
    true = (drawn.boxes[:, :2] + drawn.boxes[:, 2:]) / 2 * 0.25
    given_ = np.stack([whole.x_um, whole.y_um], axis=1)
    distance = np.abs(true[:, None] - given_[None]).max(axis=2)
    assert len(true) > 20
    assert (distance.min(axis=1) < 3.0).mean() > 0.95
    assert abs(len(whole) - len(true)) <= 0.1 * len(true)
    said = np.asarray(whole.cell_class)[distance.argmin(axis=1)]
    assert (said == np.asarray(drawn.labels)).mean() > 0.6


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(tile=st.integers(60, 400), shift=st.floats(0, 0.99), batch=st.integers(1, 100), threads=st.sampled_from([1, 2]))
def test_no_tile_size_grid_batch_or_thread_changes_a_cell(bundle, drawn, whole, tile, shift, batch, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    cells = analyse_pixels(
        ArraySlide(drawn.image, 0.25),
        (Field(0, Rect(0, 0, SIDE_PX, SIDE_PX)),),
        bundle,
        batch_size=batch,
        tile_px=tile,
        shift_px=int(tile * shift),
    )
    torch.set_num_threads(before)
    assert same(cells, whole)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(x=st.integers(1, SIDE_PX - 1), y=st.integers(1, SIDE_PX - 1))
def test_each_cell_is_counted_once_wherever_the_fields_meet(bundle, drawn, whole, x, y):
    rects = (
        Rect(0, 0, x, y),
        Rect(x, 0, SIDE_PX - x, y),
        Rect(0, y, x, SIDE_PX - y),
        Rect(x, y, SIDE_PX - x, SIDE_PX - y),
    )
    slide = ArraySlide(drawn.image, 0.25)
    parts = [
        analyse_pixels(slide, (Field(number, rect),), bundle, batch_size=16, tile_px=150)
        for number, rect in enumerate(rects)
    ]
    assert same(CellTable.concatenate(parts, bundle.labels), whole)


def test_a_cell_on_the_border_itself_is_there_once(bundle, drawn, whole):
    slide = ArraySlide(drawn.image, 0.25)
    middle = len(whole) // 2
    x = int(whole.x_um[middle] / 0.25)
    left = analyse_pixels(slide, (Field(0, Rect(0, 0, x, SIDE_PX)),), bundle, batch_size=64, tile_px=200)
    right = analyse_pixels(slide, (Field(1, Rect(x, 0, SIDE_PX - x, SIDE_PX)),), bundle, batch_size=64, tile_px=200)
    at = (whole.x_um[middle], whole.y_um[middle])
    times = sum(at in zip(part.x_um, part.y_um, strict=True) for part in (left, right))
    assert times == 1
    assert len(left) + len(right) == len(whole)


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(x=st.integers(0, 15), y=st.integers(0, 15), batch=st.integers(1, 3))
def test_shifted_and_batched_tiles_agree_bit_for_bit_inside(bundle, drawn, x, y, batch):
    network = load_networks(bundle)[0].network
    image = torch.from_numpy(drawn.image[::2, ::2].copy()).permute(2, 0, 1)[None].float()
    top, left = 8 * y, 8 * x
    part = image[..., top : top + 200, left : left + 200]
    with torch.inference_mode():
        reference = network(image)[0][0, 0]
        said = network(part.repeat(batch, 1, 1, 1))[0][:, 0]
    reach = network.reach_px // 4 + 1
    height, width = said.shape[1:]
    expected = reference[top // 4 : top // 4 + height, left // 4 : left // 4 + width]
    inner = (slice(reach, -reach), slice(reach, -reach))
    assert all(torch.equal(one[inner], expected[inner]) for one in said)


@pytest.mark.slow
def test_a_stored_slide_has_the_same_cells_in_every_cut(tmp_path, bundle):
    from marrow_models.phantom.night import make_phantom
    from marrow_models.pyramid.ingest import ingest_slide

    night = make_phantom(tmp_path / "night", seed=3, patients=1)
    file = tmp_path / "night" / night.slides[0].file
    ingest_slide(file, [file], tmp_path / "slide.ome.zarr", um_per_px=None)
    store = tmp_path / "slide.ome.zarr"
    field = Field(0, Rect(700, 900, 1100, 1000))
    expected = analyse_field(store, field, bundle, batch_size=64, tile_px=600)
    halves = (Rect(700, 900, 501, 1000), Rect(1201, 900, 599, 1000))
    parts = [analyse_field(store, Field(n, rect), bundle, batch_size=9, tile_px=97) for n, rect in enumerate(halves)]
    assert len(expected) > 5
    assert same(CellTable.concatenate(parts, bundle.labels), expected)
