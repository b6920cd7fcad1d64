import threading
import time
from contextlib import contextmanager

import pytest

from flows.background import Background


@contextmanager
def resource(log, *, delay_s=0.0, error=None):
    time.sleep(delay_s)
    if error is not None:
        raise error
    log.append("open")
    yield 42
    log.append("closed")


def test_the_value_is_waited_for_only_where_it_is_needed():
    log = []
    started = time.monotonic()
    with Background(lambda: resource(log, delay_s=0.3)) as value:
        assert time.monotonic() - started < 0.2
        assert value() == 42
        assert value() == 42
    assert log == ["open", "closed"]


def test_what_kept_it_from_opening_is_raised_where_it_is_needed():
    with Background(lambda: resource([], error=ValueError("no cluster"))) as value:
        for _ in range(2):
            with pytest.raises(ValueError, match="no cluster"):
                value()


def test_who_never_asks_never_hears_of_an_error():
    with Background(lambda: resource([], error=ValueError("no cluster"))):
        pass


def test_it_is_closed_also_when_the_block_fails():
    log = []

    def fail():
        with Background(lambda: resource(log)) as value:
            value()
            raise KeyError("night")

    with pytest.raises(KeyError):
        fail()
    assert log == ["open", "closed"]


def test_it_opens_and_closes_on_one_thread():
    threads = []

    @contextmanager
    def opened():
        threads.append(threading.get_ident())
        yield 1
        threads.append(threading.get_ident())

    with Background(opened) as value:
        value()

    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
