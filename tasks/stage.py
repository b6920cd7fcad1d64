"""What all stages have in common: they are timed and named, and belong to a Prefect task run.

All that is done with a slide is one task run, whose log tells its stages; a stage of the whole night is one of its own.
A refused slide is no program error: its task run ends as ``Quarantined`` or ``Deferred`` with the reason and without a
traceback.
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
from prefect.utilities.annotations import quote

from marrow_models.errors import CannotWrite, NightFailed, SlideRefused
from tasks.night import REFUSALS_THAT_DEFER, Night, Slide
from tasks.remote import as_refusal
from tasks.run_log import run_log
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

    When it is through, the ledger has the slide in the state ``enters``. How it went is a line in the log of the
    slide's task run: a task run of each stage would cost several times what the stage of a small slide does.
    """

    def decorate(function: Callable[Concatenate[Night, str, P], R]) -> Callable[Concatenate[Night, str, P], R]:
        @functools.wraps(function)
        def call(night: Night, slide_id: str, *args: P.args, **kwargs: P.kwargs) -> R:
            night.stop.check()
            began = time.monotonic()
            try:
                with _timed(night, slide_id, name):
                    value = function(night, slide_id, *args, **kwargs)
                    if enters is not None:
                        night.enter(slide_id, enters)
            except Exception as error:
                run_log().error("%s: %s after %.1f s", name, _in_words(error), time.monotonic() - began)
                raise
            run_log().info("%s: %.1f s", name, time.monotonic() - began)
            return value

        return cast("Callable[Concatenate[Night, str, P], R]", call)

    return decorate


def _in_words(error: Exception) -> str:
    """What a log may say of it: an error's own text may hold a name."""
    if isinstance(error, NightFailed | CannotWrite):
        return "the night ends"
    return str(as_refusal(error).reason)


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
            # Prefect would look for futures in every field of the night, at each state of each task run.
            in_flight.append(run.submit(cast("Night", quote(night)), slide))
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
    name = "Deferred" if refusal.reason in REFUSALS_THAT_DEFER else "Quarantined"
    return Failed(name=name, message=str(refusal.reason), data=refusal)


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
