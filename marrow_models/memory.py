"""Out of memory: do the same in smaller pieces, and in the end without the GPU."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch

from marrow_models.errors import Reason, SlideRefused
from marrow_models.tiling import LEAST_TILE_PX

_RAM_TEXTS = ("DefaultCPUAllocator", "not enough memory", "can't allocate memory")
_GPU_TEXTS = ("CUDA error", "CUDA driver", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS", "NVML")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Names of parameters in malloc.h of glibc."""
_NEVER_MAPPED = 1 << 30
_KEPT_BYTES = 256 << 20
KEPT_BEYOND = 500 << 20
"""Private memory of a process from which on freed memory is given back after all: within and between pieces of work."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done at a time. Changes speed and memory, never a cell."""

    batch_size: int
    tile_px: int
    device: str

    def halved(self) -> Effort | None:
        """Half as much at a time; None when it cannot be less."""
        less = replace(self, batch_size=max(1, self.batch_size // 2), tile_px=max(LEAST_TILE_PX, self.tile_px // 2))
        return None if less == self else less


def with_less_memory(work: Callable[[Effort], T], effort: Effort) -> tuple[T, Effort]:
    """What ``work`` returns, and the effort at which it did: halved as often as memory was short.

    A GPU whose memory is too small for the least effort, or that fails, is left for the CPU with the first effort.
    Raises SlideRefused(OOM) when the least effort is too much for the memory of the host, SlideRefused(GPU) when
    that happened after the GPU had failed. Every other error passes.
    """
    now, gpu_failed = effort, False
    while True:
        try:
            return work(now), now
        except (MemoryError, RuntimeError) as error:
            kind = _kind(error, now.device)
            if kind is None:
                raise
        less = None if kind is Reason.GPU else now.halved()
        if less is None and now.device != "cpu":
            gpu_failed, less = True, replace(effort, device="cpu")
        if less is None:
            raise SlideRefused(Reason.GPU if gpu_failed else Reason.OOM, f"batch size {now.batch_size}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        now = less


def _kind(error: MemoryError | RuntimeError, device: str) -> Reason | None:
    """OOM or GPU for an error of memory or of the GPU, None for any other."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return Reason.OOM
    text = str(error)
    if any(part in text for part in _RAM_TEXTS):
        return Reason.OOM
    return Reason.GPU if device != "cpu" and any(part in text for part in _GPU_TEXTS) else None


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Let this process keep the memory of one layer for the next one; whether the allocator takes such orders.

    The C library of Linux gives a freed block of some size back to the system at once, and Dask sets its workers to
    do so for almost any. A network frees and takes tens of megabytes a layer, and each page is then cleared again: that
    was more than half of a worker's time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another system or C library
        return False
    # One heap for all threads: those of the other threads are given back whatever is asked for.
    orders = {_M_MMAP_THRESHOLD: _NEVER_MAPPED, _M_TRIM_THRESHOLD: _KEPT_BYTES, _M_ARENA_MAX: 1}
    return all(mallopt(name, value) for name, value in orders.items())


def give_back(beyond: int = KEPT_BEYOND) -> bool:
    """Give freed memory back to the system where this process holds more than ``beyond`` bytes; whether it did.

    Tiles of many sizes leave holes between what is in use, which :func:`keep_freed_memory` would keep for good.
    """
    if private_bytes() <= beyond:
        return False
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return False
    trim(0)
    return True


def private_bytes() -> int:
    """Memory of this process that it does not share with others; 0 where the system does not say."""
    try:
        _, resident, shared = Path("/proc/self/statm").read_text(encoding="ascii").split()[:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * mmap.PAGESIZE
