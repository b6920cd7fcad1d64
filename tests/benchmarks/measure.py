"""What a piece of work costs, and its ratio to a floor or a peer, side by side in one run."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
POLLED_S = 0.05
LIMIT_S = 1800


@dataclass(frozen=True, slots=True)
class Job:
    """A function of a module with its arguments, run in a fresh process."""

    function: str
    """``module:function``; an attribute ``prepare`` of it is called before the clock starts and passed first."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    out: Path | None = None
    """A file or folder that it writes: removed before each run, its size and files counted after it."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a job cost."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    """Largest sum of private memory over the process and its children."""
    written_mb: float = 0.0
    files: int = 0
    said: Any = None
    """What the function returned."""


def run(job: Job) -> Cost:
    """Run ``job`` once in a fresh process."""
    if job.out is not None:
        shutil.rmtree(job.out, ignore_errors=True)
        job.out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.benchmarks.job", job.function, json.dumps(dict(job.arguments))]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | dict(job.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = _Peak(process.pid)
    try:
        out, errors = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        private_mb = peak.stop()
    if process.returncode:
        raise RuntimeError(f"{job.function}: exit {process.returncode}\n{errors[-3000:]}")
    found = json.loads(out.splitlines()[-1])
    written = sorted(_files(job.out)) if job.out is not None else []
    return Cost(
        wall_s=found["wall_s"],
        cpu_s=found["cpu_s"],
        peak_mb=max(private_mb, 0.0) or found["peak_mb"],
        written_mb=sum(path.stat().st_size for path in written) / 1e6,
        files=len(written),
        said=found["said"],
    )


def side_by_side(jobs: Mapping[str, Job], *, runs: int = 3) -> dict[str, list[Cost]]:
    """Costs of each job, run in turns so that what else the machine does meets all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            costs[name].append(run(job))
    return costs


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured ratio beside its target."""

    name: str
    """Of the work, the same in every run: it is compared with the committed figure of this name."""
    unit: str
    ours: float
    floor: float | None
    """Median of what it is compared with; None: an absolute figure."""
    against: str
    ratio: float
    target: float
    lower_is_better: bool = True
    spread: float = 0.0
    """Half of the range of the ratios of single runs, relative to the median."""
    note: str = ""

    @property
    def reached(self) -> bool:
        """Whether the target is met."""
        return self.ratio <= self.target if self.lower_is_better else self.ratio >= self.target


def ratio_of(
    name: str,
    costs: Mapping[str, Sequence[Cost]],
    *,
    ours: str,
    floor: str,
    target: float,
    of: Callable[[Cost], float] = lambda cost: cost.cpu_s,
    unit: str = "CPU s",
    lower_is_better: bool = True,
    note: str = "",
) -> Figure:
    """Median over median, with the spread of the ratios run by run."""
    own, bare = [of(cost) for cost in costs[ours]], [of(cost) for cost in costs[floor]]
    ratios = [a / b for a, b in zip(own, bare, strict=True)]
    middle = statistics.median(own) / statistics.median(bare)
    return Figure(
        name=name,
        unit=unit,
        ours=statistics.median(own),
        floor=statistics.median(bare),
        against=floor,
        ratio=middle,
        target=target,
        lower_is_better=lower_is_better,
        spread=(max(ratios) - min(ratios)) / 2 / middle,
        note=note,
    )


def absolute(
    name: str, values: Sequence[float], *, unit: str, target: float, lower_is_better: bool = True, note: str = ""
) -> Figure:
    """A median that has a target of its own: a size, a count, seconds on this kind of machine."""
    middle = statistics.median(values)
    spread = (max(values) - min(values)) / 2 / middle if middle else 0.0
    return Figure(name, unit, middle, None, "target", middle, target, lower_is_better, spread, note)


def python_with(module: str) -> str | None:
    """The first of the Pythons of ``BENCH_PEERS`` that can import ``module``."""
    pythons = os.environ.get("BENCH_PEERS", "").split(os.pathsep)
    tries = ((one, subprocess.run([one, "-c", f"import {module}"], capture_output=True)) for one in pythons if one)
    return next((one for one, done in tries if done.returncode == 0), None)


def machine() -> dict[str, Any]:
    """The kind of machine, without its name."""
    models = {
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    }
    return {
        "cpu": ", ".join(sorted(models)),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(),
    }


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """For the result file."""
    return [asdict(figure) | {"reached": figure.reached} for figure in figures]


class _Peak:
    """Largest private memory of a process and all its children, looked at every 50 ms."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._largest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(POLLED_S):
            try:
                tree = [self._process, *self._process.children(recursive=True)]
                self._largest = max(self._largest, sum(map(_private_mb, tree)))
            except psutil.Error:
                continue

    def stop(self) -> float:
        self._ended.set()
        self._thread.join()
        return self._largest


def _private_mb(process: psutil.Process) -> float:
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0.0
    return float(memory.rss - memory.shared) / 2**20


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [file for file in path.rglob("*") if file.is_file()]
