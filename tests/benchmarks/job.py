"""One measured piece of work in a process of its own: ``python -m tests.benchmarks.job MODULE:FUNCTION ARGUMENTS``.

Modules are imported before the clock starts, so a ratio compares work and not imports. Prints what it cost as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def cpu_s() -> float:
    """CPU seconds of this process, its threads and the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main(job: str, arguments: str) -> None:
    """Run the function and print what it cost."""
    module, function = job.split(":")
    work = getattr(importlib.import_module(module), function)
    prepare = getattr(work, "prepare", None)
    given = json.loads(arguments)
    # What a stage holds anyway (an open network, a connection) may be made before the clock starts.
    ready = () if prepare is None else (prepare(**given),)
    before_cpu, before = cpu_s(), time.perf_counter()
    said = work(*ready, **given)
    wall, cpu = time.perf_counter() - before, cpu_s() - before_cpu
    sys.stdout.write(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb(), "said": said}) + "\n")
    sys.stdout.flush()
    # No tear-down of pools and clients: it is not what is measured.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
