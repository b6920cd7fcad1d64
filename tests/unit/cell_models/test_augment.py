from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from marrow_models.local_contrast import local_contrast
from marrow_models.records import Rect
from marrow_models.training.array_slide import ArraySlide
from marrow_models.training.augment import STAINS, WHITE, Variety, _blurred, seen_coarser, varied_colours, varied_places

STILL = Variety(gain=0.0, log_gamma=0.0, noise=0.0)
LIVELY = Variety(
    turns=True, log_scale=0.2, shift_um=1.0, gain=0.2, log_gamma=0.4, log_stain=0.5, noise=20.0, blur_px=2.0
)
BOTH = pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "under-bfloat16"])


def rng(seed=0):
    return np.random.default_rng(seed)


def pictures(n=3, side=32, seed=0):
    return torch.from_numpy(rng(seed).integers(0, 256, (n, 3, side, side))).float()


def spot(x_px, y_px, side=64, sigma_px=3.0):
    """A black picture with a bright, soft spot centred at (x_px, y_px)."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    bump = 200 * np.exp(-((columns - x_px) ** 2 + (rows - y_px) ** 2) / (2 * sigma_px**2))
    return torch.from_numpy(np.repeat(bump[None, None], 3, axis=1).astype(np.float32))


def middle(image):
    """Centre of mass (x, y), in pixels from the corner, and the spread of what is bright."""
    light = image[0].double().numpy()
    rows, columns = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
    x, y = (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
    return x, y, np.sqrt((light * ((columns - x) ** 2 + (rows - y) ** 2)).sum() / light.sum() / 2)


def places(images, size_px, variety, seed=0, um_per_px=0.25):
    return varied_places(images, size_px, um_per_px, variety, rng(seed))


@BOTH
def test_without_variety_colours_stay_to_the_last_bit(bfloat16):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        assert torch.equal(varied_colours(pictures(), STILL, rng()), pictures())


@BOTH
@pytest.mark.parametrize(("side", "size"), [(64, 64), (64, 48), (90, 64), (33, 31)])
def test_without_variety_a_view_is_the_middle_of_its_picture(side, size, bfloat16):
    images, margin = pictures(side=side), (side - size) // 2
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        views = places(images, size, STILL)
    inner = slice(margin, margin + size)
    assert (views - images[:, :, inner, inner]).abs().max() < 0.05


def test_turning_keeps_the_centre_where_it_is():
    for seed in range(12):
        view = places(spot(32, 32), 48, Variety(turns=True), seed)
        assert middle(view[0])[:2] == pytest.approx((24, 24), abs=0.02)


def test_what_lies_off_the_centre_is_turned_around_it_to_any_side():
    distances, angles = [], []
    for seed in range(40):
        x, y, _ = middle(places(spot(42, 32), 48, Variety(turns=True), seed)[0])
        distances.append(np.hypot(x - 24, y - 24))
        angles.append(np.degrees(np.arctan2(y - 24, x - 24)) % 360)
    assert distances == pytest.approx([10] * 40, abs=0.05)
    assert np.histogram(angles, bins=4, range=(0, 360))[0].min() >= 3
    assert len({round(angle / 2) for angle in angles}) > 25


def test_views_are_mirrored_about_half_of_the_time():
    two = spot(42, 32) + 0.5 * spot(32, 42)
    handed = []
    for seed in range(40):
        view = places(two, 48, Variety(turns=True), seed)[0, 0].numpy()
        strong = np.unravel_index(view.argmax(), view.shape)
        rest = view.copy()
        rest[max(0, strong[0] - 7) : strong[0] + 8, max(0, strong[1] - 7) : strong[1] + 8] = 0
        weak = np.unravel_index(rest.argmax(), rest.shape)
        (ys, xs), (yw, xw) = ([place - 24 for place in spots] for spots in (strong, weak))
        handed.append(xs * yw - ys * xw > 0)
    assert 10 < sum(handed) < 30


@pytest.mark.parametrize("um_per_px", [0.1, 0.25, 0.5])
def test_shifts_are_in_um_whatever_the_pixels(um_per_px):
    variety = Variety(shift_um=2 * um_per_px)
    views = varied_places(spot(48, 48, side=96).repeat(200, 1, 1, 1), 64, um_per_px, variety, rng())
    shifts = np.asarray([middle(view)[:2] for view in views]) - 32
    assert shifts.std(axis=0) == pytest.approx([2, 2], rel=0.15)
    assert abs(shifts.mean(axis=0)).max() < 0.4


def test_the_scale_varies_by_its_logarithm():
    views = places(spot(48, 48, side=96).repeat(200, 1, 1, 1), 64, Variety(log_scale=0.2))
    factors = np.log([middle(view)[2] / 3.0 for view in views])
    assert factors.std() == pytest.approx(0.2, rel=0.15)
    assert abs(factors.mean()) < 0.04


def test_a_larger_scale_makes_cells_and_the_ways_between_them_larger():
    views = places(spot(42, 32).repeat(10, 1, 1, 1), 64, Variety(log_scale=0.2))
    for x, y, spread_px in map(middle, views):
        assert y == pytest.approx(32, abs=0.05)
        assert (x - 32) / 10 == pytest.approx(spread_px / 3, rel=0.03)


def as_they_lie(view, image):
    """Where and how a view lies on its picture, pixel by pixel."""
    lays = [torch.rot90(v, k, (1, 2)) for v in (view, view.flip(2)) for k in range(4)]
    size = view.shape[1]
    corners = range(image.shape[1] - size + 1)
    return [
        (number, row, column)
        for number, lay in enumerate(lays)
        for row in corners
        for column in corners
        if torch.equal(lay, image[:, row : row + size, column : column + size])
    ]


def test_exact_views_keep_the_pixels_of_their_picture_as_sharp_as_they_are():
    images = pictures(40, side=40, seed=3)
    how = Variety(turns=True, exact=1.0, shift_um=0.3, log_scale=0.2, gain=0, log_gamma=0, noise=0)
    views = varied_colours(places(images, 32, how), how, rng())
    found = [as_they_lie(view, image) for view, image in zip(views, images, strict=True)]
    inside = [place[0] for place in found if place]
    # A shift of more than the margin leaves the picture.
    assert len(inside) > 35
    assert len({number for number, _, _ in inside}) == 8
    assert len({place[1:] for place in inside}) > 5


def test_the_share_of_exact_views_is_as_asked():
    images = pictures(100, side=24, seed=3)
    how = Variety(turns=True, exact=0.3, gain=0, log_gamma=0, noise=0)
    views = varied_colours(places(images, 16, how), how, rng())
    exact = sum(bool(as_they_lie(view, image)) for view, image in zip(views, images, strict=True))
    assert 18 < exact < 42


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), level=st.sampled_from([0, 1, 77, 254, 255]))
def test_values_stay_whole_and_in_the_range_of_pixels(seed, level):
    images = torch.cat([pictures(2, seed=seed), torch.full((1, 3, 32, 32), float(level))])
    views = varied_colours(varied_places(images, 32, 0.25, LIVELY, rng(seed)), LIVELY, rng(seed + 1))
    assert views.dtype == torch.float32
    assert torch.equal(views, views.round())
    assert views.min() >= 0
    assert views.max() <= 255


@BOTH
def test_views_depend_on_the_seed_alone(bfloat16):
    def view(seed, *, low):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            generator = rng(seed)
            return varied_colours(varied_places(pictures(), 24, 0.25, LIVELY, generator), LIVELY, generator)

    assert torch.equal(view(1, low=bfloat16), view(1, low=False))
    assert not torch.equal(view(1, low=bfloat16), view(2, low=bfloat16))


def test_the_pictures_themselves_are_left_alone():
    images = pictures()
    varied_colours(varied_places(images, 32, 0.25, LIVELY, rng()), LIVELY, rng())
    assert torch.equal(images, pictures())


def test_each_picture_of_a_batch_gets_its_own_colours():
    same = torch.full((6, 3, 8, 8), 128.0)
    for variety in (Variety(gain=0.2, log_gamma=0, noise=0), Variety(gain=0, log_gamma=0.4, noise=0)):
        levels = varied_colours(same, variety, rng())[:, :, 0, 0]
        assert len({tuple(level.tolist()) for level in levels}) == 6
        assert len(set(levels[0].tolist())) == 3


def test_the_usual_variety_changes_colours_and_not_what_is_seen():
    images = pictures()
    changed = varied_colours(images, Variety(), rng())
    assert not torch.equal(changed, images)
    assert (changed - images).abs().mean() < 40


def test_more_or_less_dye_leaves_white_glass_white():
    white = torch.full((8, 3, 8, 8), WHITE)
    assert torch.equal(varied_colours(white, Variety(gain=0, log_gamma=0, noise=0, log_stain=0.6), rng()), white)


@pytest.mark.parametrize("dye", [0, 1, 2])
def test_more_of_one_dye_darkens_along_its_own_colour(dye):
    stain = torch.tensor(STAINS[dye])
    stain = stain / stain.norm()
    image = (torch.exp(-1.2 * stain) * WHITE).view(1, 3, 1, 1).expand(20, 3, 4, 4)
    views = varied_colours(image, Variety(gain=0, log_gamma=0, noise=0, log_stain=0.3), rng())
    density = -torch.log(views[:, :, 0, 0].clamp_min(1) / WHITE)
    along = density @ stain
    across = density - along[:, None] * stain
    assert across.abs().max() < 0.03
    assert torch.log(along / 1.2).std() == pytest.approx(0.3, rel=0.5)


def test_noise_is_at_most_as_strong_as_asked_and_blur_takes_detail_away():
    grey = torch.full((4, 3, 64, 64), 128.0)
    spreads = [float(varied_colours(grey, Variety(gain=0, log_gamma=0, noise=10.0), rng(s)).std()) for s in range(20)]
    assert max(spreads) < 10.5
    assert max(spreads) > 5 > min(spreads)
    images = pictures(side=64)
    sharp = (images[..., 1:] - images[..., :-1]).abs().mean()
    blurred = varied_colours(images, Variety(gain=0, log_gamma=0, noise=0, blur_px=4.0), rng(1))
    assert (blurred[..., 1:] - blurred[..., :-1]).abs().mean() < sharp / 2
    assert float(blurred.mean()) == pytest.approx(float(images.mean()), rel=0.02)


@pytest.mark.parametrize("sigma_px", [0.4, 1.0, 2.3])
def test_a_blur_is_that_of_a_gaussian_with_mirrored_edges(sigma_px):
    blurred = _blurred(pictures(), sigma_px).numpy()
    radius = int(np.ceil(2.5 * sigma_px))
    expected = ndimage.gaussian_filter(pictures().numpy(), (0, 0, sigma_px, sigma_px), mode="mirror", radius=radius)
    assert np.abs(blurred - expected).max() < 1e-2


@BOTH
def test_softer_views_have_less_local_contrast_and_the_same_colours(bfloat16):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        views = varied_colours(pictures(40), replace(STILL, softer=0.5, softest=0.1), rng())
    left = (local_contrast(views) / local_contrast(pictures(40))).numpy()
    assert 10 <= (left == 1).sum() <= 30
    assert left.min() == pytest.approx(0.1, abs=0.06)
    assert views.mean().item() == pytest.approx(pictures(40).mean().item(), abs=1)


def test_without_coarser_scanners_nothing_is_drawn_or_changed():
    used, untouched = rng(), rng()
    assert torch.equal(seen_coarser(pictures(), 0.1, LIVELY, used), pictures())
    assert used.integers(2**60) == untouched.integers(2**60)


class Coarsest:
    """Draws the largest pixel."""

    def uniform(self, low=0.0, high=0.0):
        return high


@BOTH
def test_a_coarser_scanner_is_the_one_that_slides_are_read_from(bfloat16):
    """Four times as large pixels, which a slide of that size would be read from."""
    soft = ndimage.gaussian_filter(pictures(1, 64).numpy(), (0, 0, 2, 2))
    fine = torch.from_numpy(soft * 6 - 640).clamp(0, 255).round()
    variety = Variety(coarser=1.0, coarsest_um_per_px=0.4)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        views = seen_coarser(fine, 0.1, variety, Coarsest())
    scanned = ArraySlide(fine[0].permute(1, 2, 0).numpy().astype(np.uint8), 0.1).scaled_region(0.4, Rect(0, 0, 16, 16))
    read = ArraySlide(scanned, 0.4).scaled_region(0.1, Rect(0, 0, 64, 64))
    inner = slice(8, 56)
    difference = np.abs(views[0].permute(1, 2, 0).numpy() - read)[inner, inner]
    assert difference.mean() < 2.0
    assert np.abs(fine[0].permute(1, 2, 0).numpy() - read)[inner, inner].mean() > 4 * difference.mean()


def test_pixels_as_large_as_the_picture_leave_one():
    views = seen_coarser(pictures(), 0.1, Variety(coarser=1.0, coarsest_um_per_px=1000.0), Coarsest())
    assert views.shape == pictures().shape
    assert (views == views[:, :, :1, :1]).all()
