"""What all stages have in common: each is a Prefect task, timed and named, whose refusals are states.

A refused slide is no program error: the task run ends as ``Quarantined`` with its reason and without a traceback,
and the caller gets the refusal as :class:`SlideRefused` to act on.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from prefect import State, Task, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from marrow_models.errors import CannotWrite, NightFailed, SlideRefused
from tasks.night import Night, Slide
from tasks.remote import as_refusal
from warehouse.ledger import State as SlideState
from warehouse.records import StageTime

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture

SLIDES_PER_WORKER = 2
"""Slides on their way at a time for each worker thread: enough to keep all busy, whatever the size of the inbox."""

P = ParamSpec("P")
R = TypeVar("R")


def slide_stage(
    name: str, *, enters: SlideState | None = None
) -> Callable[[Callable[Concatenate[Night, str, P], R]], Callable[Concatenate[Night, str, P], R]]:
    """Make a stage of one slide: the function takes the night and the slide's id first.

    When it is through, the ledger has the slide in the state ``enters``.
    """

    def decorate(function: Callable[Concatenate[Night, str, P], R]) -> Callable[Concatenate[Night, str, P], R]:
        @task(name=name, task_run_name=name + " {slide_id}", cache_policy=NO_CACHE, persist_result=False)
        def run(slide_id: str, night: Night, args: Any, kwargs: Any) -> State[Any]:
            try:
                with _timed(night, slide_id, name):
                    value = function(night, slide_id, *args, **kwargs)
                    if enters is not None:
                        night.enter(slide_id, enters)
                return Completed(data=(value,))
            except (NightFailed, CannotWrite) as error:
                return _night_failed(error)
            except Exception as error:  # noqa: BLE001 - the edge of a task: an error costs one slide
                return _refused(as_refusal(error))

        @functools.wraps(function)
        def call(night: Night, slide_id: str, *args: P.args, **kwargs: P.kwargs) -> R:
            night.stop.check()
            outcome: Any = run(slide_id, night, args, kwargs, return_state=True).result(raise_on_failure=False)
            if isinstance(outcome, NightFailed):
                raise outcome
            if isinstance(outcome, Exception):
                raise as_refusal(outcome)
            value: R = outcome[0]
            return value

        return cast("Callable[Concatenate[Night, str, P], R]", call)

    return decorate


def slide_task(name: str) -> Callable[[Callable[[Night, Slide], None]], Task[[Night, Slide], State[Any]]]:
    """Make a Prefect task of all that a flow does with one slide.

    A refusal ends in the ledger, as quarantine or deferral with its reason, and costs this slide and no other.
    """

    def decorate(function: Callable[[Night, Slide], None]) -> Task[[Night, Slide], State[Any]]:
        @task(name=name, task_run_name="slide {slide.slide_id}", cache_policy=NO_CACHE, persist_result=False)
        def run(night: Night, slide: Slide) -> State[Any]:
            try:
                night.stop.check()
                refusal = _refusal_of(function, night, slide)
                if refusal is not None:
                    night.stop.check()  # work that was dropped says nothing about the slide
                    night.refuse(slide.slide_id, refusal)
                    return _refused(refusal)
            except (NightFailed, CannotWrite) as error:
                return _night_failed(night.stop.failure or error)
            return Completed(message="done")

        return run

    return decorate


def _refusal_of(function: Callable[[Night, Slide], None], night: Night, slide: Slide) -> SlideRefused | None:
    try:
        function(night, slide)
    except (NightFailed, CannotWrite):
        raise
    except Exception as error:  # noqa: BLE001 - the edge of a task: an error costs one slide
        return as_refusal(error)
    return None


def for_each(night: Night, run: Task[[Night, Slide], State[Any]], slides: Iterable[Slide]) -> None:
    """Run a slide task on every slide, a bounded number at a time, in order of submission.

    Raises :class:`NightFailed` when the night itself cannot go on (no workers, no room).
    """
    in_flight: deque[PrefectFuture[Any]] = deque()
    try:
        for slide in slides:
            if len(in_flight) >= SLIDES_PER_WORKER * night.workers.threads:
                _ended(in_flight.popleft())
            night.stop.check()
            in_flight.append(run.submit(night, slide))
        while in_flight:
            _ended(in_flight.popleft())
    finally:
        # Slides on their way still write to the warehouse, which is closed next.
        for future in in_flight:
            future.wait()


def _ended(future: PrefectFuture[Any]) -> None:
    future.wait()
    outcome = future.state.result(raise_on_failure=False)
    if isinstance(outcome, NightFailed):
        raise outcome


def _night_failed(error: NightFailed | CannotWrite) -> State[Any]:
    """What ends the night is no fault of a slide: no slide is refused for it."""
    failure = error if isinstance(error, NightFailed) else NightFailed(str(error))
    return Failed(name="NightFailed", message=str(failure), data=failure)


def _refused(refusal: SlideRefused) -> State[Any]:
    return Failed(name="Quarantined", message=str(refusal.reason), data=refusal)


def night_stage(name: str) -> Callable[[Callable[Concatenate[Night, P], R]], Callable[Concatenate[Night, P], R]]:
    """Make a stage of the whole night. Its errors are the night's errors."""

    def decorate(function: Callable[Concatenate[Night, P], R]) -> Callable[Concatenate[Night, P], R]:
        @task(name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)
        def run(night: Night, args: Any, kwargs: Any) -> tuple[R]:
            try:
                with _timed(night, None, name):
                    return (function(night, *args, **kwargs),)
            except CannotWrite as error:
                raise NightFailed(str(error)) from None

        @functools.wraps(function)
        def call(night: Night, *args: P.args, **kwargs: P.kwargs) -> R:
            night.stop.check()
            return run(night, args, kwargs)[0]

        return cast("Callable[Concatenate[Night, P], R]", call)

    return decorate


class _timed:
    """Records how long a stage took, also when it fails."""

    def __init__(self, night: Night, slide_id: str | None, stage: str) -> None:
        self._night, self._slide_id, self._stage = night, slide_id, stage

    def __enter__(self) -> None:
        self._started_at = datetime.now(UTC)
        self._clock = time.monotonic()
        self._night.progress.stage_started(self._slide_id, self._stage)

    def __exit__(self, *_: object) -> None:
        seconds = time.monotonic() - self._clock
        self._night.record_time(StageTime(self._night.run_id, self._slide_id, self._stage, self._started_at, seconds))
