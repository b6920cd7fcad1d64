"""The cache of decoded arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.slides.cache import ArrayCache


def test_the_least_recently_used_array_goes_first() -> None:
    cache = ArrayCache(30)
    for key in "abc":
        cache.put(key, np.zeros(10, np.uint8))
    assert cache.get("a") is not None
    cache.put("d", np.zeros(10, np.uint8))
    assert [cache.get(key) is not None for key in "abcd"] == [True, False, True, True]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60))))
def test_it_never_holds_more_than_its_limit_and_never_loses_count(puts: list[tuple[int, int]]) -> None:
    cache = ArrayCache(100)
    for key, size in puts:
        cache.put(key, np.zeros(size, np.uint8))
        held = [array for array in (cache.get(k) for k in range(10)) if array is not None]
        assert cache.nbytes == sum(array.nbytes for array in held) <= 100


def test_an_array_larger_than_the_limit_is_not_kept() -> None:
    cache = ArrayCache(10)
    cache.put("a", np.zeros(11, np.uint8))
    assert cache.get("a") is None
    assert cache.nbytes == 0
