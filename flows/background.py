"""Something slow that starts at once and is waited for only by whoever needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """A context held open on a thread of its own. Calling it waits for the value, or raises what kept it from being.

    Whoever never calls it never waits, except for its end.
    """

    def __init__(self, open_context: Callable[[], AbstractContextManager[T]]) -> None:
        self._open = open_context
        self._settled = threading.Event()
        self._closing = threading.Event()
        self._value: T | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._hold, daemon=True)

    def __enter__(self) -> Background[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()

    def __call__(self) -> T:
        """The value, as soon as it is there."""
        self._settled.wait()
        if self._error is not None:
            raise self._error
        assert self._value is not None
        return self._value

    @property
    def value(self) -> T | None:
        """The value if it is there already."""
        return self._value

    def _hold(self) -> None:
        try:
            with self._open() as value:
                self._value = value
                self._settled.set()
                self._closing.wait()
        except Exception as error:  # noqa: BLE001 - handed over to whoever needs the value
            self._error = error
        finally:
            self._settled.set()
