"""Where figures come from: what a reader needs to make them again."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Stated beside every figure."""

    command: str
    data: tuple[str, ...]
    """Each data set with its source and licence."""
    split: str
    """What was trained on and what was measured on, and how they were kept apart."""
    seed: int
    machine: str
    """The kind of machine, see :func:`machine_kind`; never its name."""
    limits: tuple[str, ...] = ()
    """What a reader must know before using the figures."""


def machine_kind() -> str:
    """Return the kind of this machine: processor, number of cores, and the names of its GPUs. Not its host name."""
    parts = [f"{_processor()}, {os.cpu_count() or 1} cores"]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
        parts += [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return "; ".join(parts)


def _processor() -> str:
    """The model as the system names it; Linux tells Python the architecture only."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next((name for name in named if name), "") or platform.processor() or platform.machine() or "unknown"
