"""A small cache of decoded arrays, limited by its bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

from numpy.typing import NDArray


class ArrayCache:
    """Arrays that were decoded lately; the least recently used go first. Safe across threads."""

    def __init__(self, max_bytes: int) -> None:
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Return the array kept under ``key``; treat it as read-only."""
        with self._lock:
            array = self._arrays.get(key)
            if array is not None:
                self._arrays.move_to_end(key)
            return array

    def put(self, key: Hashable, array: NDArray[Any]) -> None:
        """Keep ``array``, letting older ones go; one that alone exceeds the limit is not kept."""
        if array.nbytes > self._max_bytes:
            return
        with self._lock:
            old = self._arrays.pop(key, None)
            self._bytes += array.nbytes - (old.nbytes if old is not None else 0)
            self._arrays[key] = array
            while self._bytes > self._max_bytes:
                self._bytes -= self._arrays.popitem(last=False)[1].nbytes

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes
