"""A few threads at work, their results in the order of the questions: what is written does not depend on them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

MOST_THREADS = 2
"""A night has a worker a core already: more would only wait for each other."""
_AHEAD = 2
"""Results that may wait for their turn, for each thread."""

A = TypeVar("A")
R = TypeVar("R")


def threads() -> int:
    """How many threads to use: two, or as many as this process has cores."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


def in_order(work: Callable[[A], R], questions: Iterable[A]) -> Generator[R, None, None]:
    """Yield ``work`` of each question, in order, worked out ahead in a few threads. Close it when you leave early."""
    waiting: deque[Future[R]] = deque()
    count = threads()
    with ThreadPoolExecutor(count, thread_name_prefix="pyramid") as pool:
        try:
            for question in questions:
                waiting.append(pool.submit(work, question))
                if len(waiting) > _AHEAD * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
