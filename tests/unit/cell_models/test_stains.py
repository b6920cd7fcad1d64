import numpy as np
import pytest
import torch

from marrow_models.training.stains import OtherStains, Stain, densities, stain_of, stains_of
from tests.unit.cell_models.smears import HERE, THERE, smear


def as_images(*pictures):
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()


def shown(stains, images, seed=0, own=None, **more):
    own = [HERE] * len(images) if own is None else own
    return OtherStains(stains, **({"share": 1.0} | more))(images, own, np.random.default_rng(seed))


@pytest.mark.parametrize("stain", [HERE, THERE], ids=["here", "there"])
def test_a_stain_is_read_off_the_glass_the_red_cells_and_the_nuclei_of_a_picture(stain):
    found = stain_of(smear(stain))
    assert np.allclose(found.glass, stain.glass, atol=1)
    assert np.allclose(found.red_cell, stain.red_cell, atol=0.02)
    assert np.allclose(found.nucleus, stain.nucleus, atol=0.06)


def test_the_white_around_a_picture_is_no_glass():
    picture = np.pad(smear(THERE), ((40, 40), (40, 40), (0, 0)), constant_values=255)
    assert np.allclose(stain_of(picture).glass, THERE.glass, atol=1)


@pytest.mark.parametrize(
    "picture",
    [
        np.full((64, 64, 3), 255, np.uint8),
        np.full((64, 64, 3), 230, np.uint8),
        smear(HERE, nuclei=False),
        smear(HERE, red_cells=False),
        smear(Stain(HERE.glass, 0.2 * HERE.nucleus, HERE.nucleus)),
        smear(HERE)[:6, :6],
    ],
    ids=["white", "glass", "no nuclei", "no red cells", "one dye", "a few pixels"],
)
def test_a_picture_without_all_three_has_no_stain(picture):
    assert stain_of(picture) is None
    assert len(stains_of([picture, smear(THERE), picture])) == 1


def test_densities_of_glass_and_of_what_is_brighter_are_zero():
    pixels = np.array([[250, 232, 205], [255, 255, 255], [0, 0, 0]], np.uint8)
    found = densities(pixels, HERE.glass)
    assert (found[:2] == 0).all()
    assert np.allclose(found[2], np.log(HERE.glass + 1))


def test_cells_shown_in_another_stain_have_its_colours_and_their_own_shapes():
    (view,) = shown([THERE], as_images(smear(HERE)), way=(1.0, 1.0), log_amount=0.0)
    picture = view.permute(1, 2, 0).numpy().astype(np.uint8)
    assert np.abs(picture.astype(int) - smear(THERE)).max() <= 12  # the noise of both, some of it made larger
    assert np.abs(picture.astype(int) - smear(THERE)).mean() < 1.5


def test_a_view_goes_only_part_of_the_way():
    (view,) = shown([THERE], as_images(smear(HERE)), way=(0.5, 0.5), log_amount=0.0)
    found = stain_of(view.permute(1, 2, 0).numpy().astype(np.uint8))
    assert np.allclose(found.glass, (HERE.glass + THERE.glass) / 2, atol=1.5)
    assert np.allclose(found.nucleus, (HERE.nucleus + THERE.nucleus) / 2, atol=0.06)


def test_only_a_share_of_the_views_is_shown_in_other_stains():
    images = as_images(*[smear(HERE, side=48)] * 200)
    changed = (shown([THERE], images, share=0.3) != images).flatten(1).any(dim=1)
    assert 0.2 < changed.float().mean() < 0.4
    assert torch.equal(shown([THERE], images, share=0.0), images)
    assert torch.equal(shown([], images), images)


def test_each_view_leaves_its_own_stain_and_one_without_a_known_stain_stays_as_it_is():
    images = as_images(smear(HERE), smear(THERE), smear(HERE))
    other = Stain(np.array([230.0, 225.0, 215.0]), np.array([0.2, 0.5, 0.2]), np.array([0.9, 1.0, 0.3]))
    views = shown([other], images, own=[HERE, THERE, None], way=(1.0, 1.0), log_amount=0.0)
    for view in views[:2]:
        found = stain_of(view.permute(1, 2, 0).numpy().astype(np.uint8))
        assert np.allclose(found.glass, other.glass, atol=3)
        assert np.allclose(found.nucleus, other.nucleus, atol=0.08)
    assert torch.equal(views[2], images[2])
    assert torch.equal(shown([other], images, own=[None] * 3), images)


def test_views_are_whole_numbers_depend_on_the_generator_alone_and_never_on_bfloat16():
    images = as_images(smear(HERE, seed=1), smear(HERE, seed=2))
    first = shown([THERE, HERE], images, seed=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(shown([THERE, HERE], images, seed=4), first)
    assert not torch.equal(shown([THERE, HERE], images, seed=5), first)
    assert torch.equal(first, first.round().clamp(0, 255))
