"""Mixing inks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.phantom.inks import Ink, InkPlanes

PALETTE = np.arange(len(Ink) * 3, dtype=np.float32).reshape(-1, 3) * 10


@given(covers=st.lists(st.tuples(st.sampled_from(list(Ink)), st.floats(0, 1, width=32)), max_size=8))
def test_amounts_always_add_up_to_one(covers: list[tuple[Ink, float]]) -> None:
    inks = InkPlanes(2, 3)
    for ink, cover in covers:
        inks.lay(ink, np.full((2, 3), cover, np.float32))
    np.testing.assert_allclose(inks.amounts.sum(axis=0), 1, atol=1e-5)


def test_full_cover_hides_what_is_below() -> None:
    inks = InkPlanes(1, 2)
    inks.lay(Ink.CHROMATIN, np.array([[1, 0]], np.float32))
    picture = inks.colours(PALETTE, np.ones((1, 2), np.float32))
    np.testing.assert_allclose(picture[0, 0], PALETTE[Ink.CHROMATIN])
    np.testing.assert_allclose(picture[0, 1], PALETTE[Ink.CYTOPLASM])


def test_shade_darkens_one_ink_only() -> None:
    inks = InkPlanes(1, 2)
    inks.lay(Ink.CHROMATIN, np.array([[1, 0]], np.float32))
    inks.shade(Ink.CHROMATIN, np.full((1, 2), 0.5, np.float32))
    picture = inks.colours(PALETTE, np.ones((1, 2), np.float32))
    np.testing.assert_allclose(picture[0, 0], PALETTE[Ink.CHROMATIN] / 2)
    np.testing.assert_allclose(picture[0, 1], PALETTE[Ink.CYTOPLASM])


def test_pictures_are_premultiplied_and_never_negative() -> None:
    inks = InkPlanes(1, 2)
    inks.shade(Ink.CYTOPLASM, np.array([[1, -1]], np.float32))
    picture = inks.colours(PALETTE + 100, np.array([[0.25, 1]], np.float32))
    np.testing.assert_allclose(picture[0, 0], 0.25 * (PALETTE[0] + 100))
    assert (picture >= 0).all()
