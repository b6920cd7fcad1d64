"""Doing the next piece of work in a thread while the present one is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def made_ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[tuple[Item, Made]]:
    """Each item with what ``make`` made of it, in order; the next one is made meanwhile, never more than one.

    For pixels beside a network: reading and decoding let go of the interpreter, and so does the network. What ``make``
    raises is raised where its item would have come.
    """
    waiting = iter(items)
    try:
        present = next(waiting)
    except StopIteration:
        return
    following = next(waiting, None)
    if following is None:  # nothing to be ahead of: no thread
        yield present, make(present)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="marrow-ahead") as thread:
        made = make(present)
        while following is not None:
            promised = thread.submit(make, following)
            yield present, made
            present, made = following, promised.result()
            following = next(waiting, None)
        yield present, made
