"""One piece ahead: in order, never two, errors where they belong."""

import threading

import pytest

from marrow_models.ahead import made_ahead


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_each_item_once_and_in_order(count):
    assert list(made_ahead(lambda item: item * item, iter(range(count)))) == [(n, n * n) for n in range(count)]


def test_the_next_is_made_while_the_present_is_used():
    begun = [threading.Event() for _ in range(4)]

    def make(number):
        begun[number].set()
        return number

    for number, _ in made_ahead(make, range(4)):
        if number < 3:
            assert begun[number + 1].wait(10)
        if number < 2:
            assert not begun[number + 2].is_set()


def test_an_error_comes_where_its_item_would_have_come():
    def make(number):
        if number == 2:
            raise MemoryError
        return number

    made = made_ahead(make, range(5))
    assert [next(made) for _ in range(2)] == [(0, 0), (1, 1)]
    with pytest.raises(MemoryError):
        next(made)


def test_whoever_stops_early_leaves_no_thread():
    before = threading.active_count()
    for number, _ in made_ahead(lambda item: item, range(100)):
        if number == 3:
            break
    assert threading.active_count() == before
