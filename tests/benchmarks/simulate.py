"""A night of thousands of slides on hundreds of workers, from constants that were measured: what saturates first?

    python -m tests.benchmarks.simulate [--results FILE] [--out FOLDER]

A discrete-event simulation. The stages of a slide run on any free worker. What only the flow's process does (ledger,
gates, load, Prefect) and what only the Prefect server does pass one after the other through a station each. Constants
are the figures of ``benchmarks.json``; one that is not there ends the program.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.generated_warehouse import SLIDES_A_NIGHT
from tests.benchmarks.report import plot_growth

RESULTS = Path(__file__).parents[2] / "benchmarks"
SLIDES = (10, 100, 1000, 10_000)
WORKERS = (2, 10, 100, 1000)
PUBLICATION = "publishing a night of 100,000 cells"
SLIDES_PER_WORKER = 2
"""As ``tasks.stage``: how many slides are on their way for each worker."""


@dataclass(frozen=True, slots=True)
class Constants:
    """Seconds of one core, as measured."""

    worker_s: float
    """Of a worker, for one slide."""
    flow_s: float
    """Of the flow's process, for one slide: gates, ledger, load, Prefect's and Dask's client. One at a time."""
    server_s: float
    """Of the Prefect server, for one slide. One at a time."""
    night_s: float
    """From the start to the first stage, and in no stage at the end."""
    publish_s: float
    """For one slide, at the end."""

    @staticmethod
    def of(results: Path, slide_s: float | None) -> Constants:
        """The constants out of a result file; KeyError names the figure that is missing."""
        figures = {figure["name"]: figure["ours"] for figure in json.loads(results.read_text("utf-8"))["figures"]}
        publications = [
            ours for name, ours in figures.items() if name.startswith(PUBLICATION) and not name.endswith("wall")
        ]
        return Constants(
            worker_s=figures["stages of a tiny slide on workers"] if slide_s is None else slide_s,
            flow_s=figures["flow process, a slide"],
            server_s=figures["Prefect server, a slide"],
            night_s=figures["a night beyond its stages, imports and Prefect's start with it"],
            publish_s=max(publications) / SLIDES_A_NIGHT,
        )


@dataclass(frozen=True, slots=True)
class Night:
    """What a simulated night came to."""

    seconds: float
    busy: dict[str, float]
    """Share of the time in which each station worked."""

    @property
    def saturated(self) -> str:
        """The station with the most work."""
        return max(self.busy, key=lambda name: self.busy[name])


def simulate(slides: int, workers: int, constants: Constants) -> Night:
    """One night: slides are taken in turn, a bounded number of them on their way."""
    on_their_way = min(slides, SLIDES_PER_WORKER * workers)
    server_free = flow_free = 0.0
    worker_free = [0.0] * workers
    ready = [0.0] * on_their_way  # when each place for a slide is free again
    heapq.heapify(ready)
    last = 0.0
    for _ in range(slides):
        now = heapq.heappop(ready)
        server_free = max(now, server_free) + constants.server_s
        begins = max(server_free, heapq.heappop(worker_free))
        ended = begins + constants.worker_s
        heapq.heappush(worker_free, ended)
        flow_free = max(ended, flow_free) + constants.flow_s
        heapq.heappush(ready, flow_free)
        last = max(last, flow_free)
    seconds = constants.night_s + last + constants.publish_s * slides
    busy = {
        "workers": slides * constants.worker_s / workers / last,
        "flow process": slides * constants.flow_s / last,
        "Prefect server": slides * constants.server_s / last,
    }
    return Night(seconds, busy)


def table(constants: Constants, slides: Sequence[int] = SLIDES, workers: Sequence[int] = WORKERS) -> list[str]:
    """The nights as a Markdown table."""
    lines = ["| slides | workers | hours | busiest | its share |", "|---|---|---|---|---|"]
    for count in slides:
        for size in workers:
            night = simulate(count, size, constants)
            share = night.busy[night.saturated]
            lines.append(f"| {count:,} | {size:,} | {night.seconds / 3600:.3g} | {night.saturated} | {share:.0%} |")
    return lines


def most_workers(constants: Constants) -> float:
    """From how many workers on more of them shorten no night: the slower of the two stations has no time left."""
    return constants.worker_s / max(constants.flow_s, constants.server_s)


def main() -> None:
    """Print the table and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--results", type=Path, default=RESULTS / "benchmarks.json")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--slide-s", type=float, help="seconds that a slide takes on a worker, instead of a tiny one's")
    given = parser.parse_args()
    constants = Constants.of(given.results, given.slide_s)
    told = [str(constants), *table(constants), f"More than {most_workers(constants):.0f} workers shorten no night."]
    sys.stdout.write("\n".join(told) + "\n")
    curves = {f"{size} workers": [simulate(n, size, constants).seconds for n in SLIDES] for size in WORKERS}
    plot_growth(given.out / "simulated_nights.png", "Simulated nights", SLIDES, "slides", curves)


if __name__ == "__main__":
    main()
