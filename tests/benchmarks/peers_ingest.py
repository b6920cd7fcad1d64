"""Other converters beside ours, where ``BENCH_PEERS`` names a Python of an environment that has them.

Run by that Python as a script: ``python peers_ingest.py PEER SOURCE OUT``. Prints its CPU seconds without imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.benchmarks.measure import Cost, Figure, Job

COPIER, WHOLE = "copier of tiles", "ours as a process"
PEERS = ("large_image",)
"""Modules, each with a function of its name below; those that can be imported there are compared."""


def jobs(source: Path, folder: Path) -> dict[str, Job]:
    """A job for each peer that is there; none without the variable."""
    from tests.benchmarks.measure import Job, python_with

    found = {}
    for peer in PEERS:
        python = python_with(peer)
        if python:
            out = folder / f"{peer}.zarr"  # its sink goes by the name
            arguments = {"python": python, "peer": peer, "source": str(source), "out": str(out)}
            found[peer] = Job("tests.benchmarks.peers_ingest:run_peer", arguments, out)
    return found


def copier_jobs(source: Path, folder: Path) -> dict[str, Job]:
    """A script of somebody else that copies tiles, and ours as a process of its own; none without the variable.

    ``BENCH_COPIER`` names the script. It is run as ``python SCRIPT SOURCE copy_jpeg OUT``, and writes a file for
    each tile.
    """
    from tests.benchmarks.measure import Job

    script = os.environ.get("BENCH_COPIER")
    if not script:
        return {}
    run, copied, ingested = "tests.benchmarks.peers_ingest:run_whole", folder / "copier", folder / "whole"
    ours = json.dumps({"source": str(source), "out": str(ingested)})
    return {
        COPIER: Job(run, {"arguments": [script, str(source), "copy_jpeg", str(copied)]}, copied),
        WHOLE: Job(
            run,
            {"arguments": ["-m", "tests.benchmarks.job", "tests.benchmarks.work_ingest:ingest", ours]},
            ingested,
        ),
    }


def copier_figures(work: str, costs: Mapping[str, Sequence[Cost]]) -> list[Figure]:
    """Ours over the copier, both from the start of their process to its end."""
    from tests.benchmarks.measure import ratio_of

    if COPIER not in costs:
        return []
    inside = sorted(cost.said["cpu_s"] for cost in costs[WHOLE])[len(costs[WHOLE]) // 2]
    note = f"both with their imports; ours without them: {inside:.2f} CPU s"
    return [ratio_of(f"{work}, beside a copier of tiles", costs, ours=WHOLE, floor=COPIER, target=2, note=note)]


def run_whole(arguments: list[str]) -> Any:
    """Run Python with ``arguments`` in a process whose start counts; what its last line says, where that is JSON."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    last = done.stdout.splitlines()[-1]
    return json.loads(last) if last.startswith("{") else None


def figures(work: str, costs: Mapping[str, Sequence[Cost]], ours: str) -> list[Figure]:
    """Ours over each peer: half its CPU, a tenth of its bytes."""
    from tests.benchmarks.measure import ratio_of

    found = []
    for peer in PEERS:
        if peer in costs:
            found += [
                ratio_of(
                    f"{work}, beside {peer}", costs, ours=ours, floor=peer, target=0.5,
                    of=lambda cost: cost.said.get("cpu_s", cost.cpu_s),
                ),
                ratio_of(
                    f"{work}, beside {peer}: size", costs, ours=ours, floor=peer, target=0.1,
                    of=lambda cost: cost.written_mb, unit="MB",
                ),
            ]  # fmt: skip
    return found


def run_peer(python: str, peer: str, source: str, out: str) -> Any:
    """Let a peer convert; what it said of its cost."""
    done = subprocess.run([python, __file__, peer, source, out], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def large_image(source: str, out: str) -> None:
    """Tile by tile into its Zarr sink, 1,024 px a tile: its fastest way."""
    import large_image as module

    slide = module.open(source)
    sink = module.new()
    for tile in slide.tileIterator(
        format=module.constants.TILE_FORMAT_NUMPY, tile_size={"width": 1024, "height": 1024}
    ):
        sink.addTile(tile["tile"][..., :3], x=tile["x"], y=tile["y"])
    sink.write(out)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    __import__(name)
    before = time.process_time()
    globals()[name](*arguments)
    print(json.dumps({"cpu_s": time.process_time() - before}))  # noqa: T201 - the answer to the process that asked
