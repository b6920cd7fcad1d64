"""A few threads at work, their results in the order of the questions: what is written does not depend on them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

MOST_THREADS = 2
"""A night has a worker a core already: more would only wait for each other."""
_AHEAD = 2
"""Results that may wait for their turn, for each thread."""

A = TypeVar("A")
R = TypeVar("R")


def threads() -> int:
    """How many threads to use, this one included: two, or as many as this process has cores."""
    return min(MOST_THREADS, os.cpu_count() or 1)


def in_order(work: Callable[[A], R], questions: Iterable[A]) -> Generator[R, None, None]:
    """Yield ``work`` of each question, in order. Close it when you leave early.

    The thread that asks works as well: while the next result is not there, it takes a question that nobody has begun.
    """
    helpers = threads() - 1
    if helpers < 1:
        yield from map(work, questions)
        return
    waiting: deque[_Question[A, R]] = deque()
    with ThreadPoolExecutor(helpers, thread_name_prefix="pyramid") as pool:
        try:
            for question in questions:
                waiting.append(_Question(question, pool.submit(work, question)))
                if len(waiting) > _AHEAD * (helpers + 1):
                    yield _first(waiting, work)
            while waiting:
                yield _first(waiting, work)
        finally:
            for left in waiting:
                left.answer.cancel()


@dataclass(slots=True)
class _Question(Generic[A, R]):
    asked: A
    answer: Future[R]


def _first(waiting: deque[_Question[A, R]], work: Callable[[A], R]) -> R:
    """Result of the first question; as long as it is not there, work on others."""
    for question in waiting:
        if waiting[0].answer.done():
            break
        if question.answer.cancel():
            question.answer = _worked_out(work, question.asked)
    return waiting.popleft().answer.result()


def _worked_out(work: Callable[[A], R], asked: A) -> Future[R]:
    answer: Future[R] = Future()
    try:
        answer.set_result(work(asked))
    except Exception as error:  # noqa: BLE001 - raised when its turn comes, as a thread's would be
        answer.set_exception(error)
    return answer
