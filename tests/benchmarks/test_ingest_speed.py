"""Ingest beside the least that the same bytes cost: copying tiles, and copying or re-coding with a pyramid made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import peers_ingest, slides
from tests.benchmarks.conftest import Results
from tests.benchmarks.measure import Cost, Job, absolute, ratio_of, side_by_side

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

OURS, FLOOR, BESIDE = "ours", "bare loop", "ours, in its decoder process"
MOST_FILES = 20


def ours(out: Path, source: Path, profile: str = "copy", *, beside: bool = False) -> Job:
    function = "ingest_beside" if beside else "ingest"
    arguments = {"source": str(source), "out": str(out), "profile": profile}
    return Job(f"tests.benchmarks.work_ingest:{function}", arguments, out)


def floor(out: Path, source: Path, function: str, **arguments: Any) -> Job:
    return Job(f"tests.benchmarks.floors_ingest:{function}", {"source": str(source), "out": str(out), **arguments}, out)


def beside_note(costs: Mapping[str, Sequence[Cost]]) -> str:
    """What the process around it costs, its start and its end included."""
    cpu = sorted(cost.cpu_s for cost in costs[BESIDE])[len(costs[BESIDE]) // 2]
    return f"{cpu:.2f} CPU s with the start of a decoder process, which takes up to 200 slides"


def test_tiles_and_pyramid_are_copied_at_the_speed_of_the_disk(results: Results, tmp_path: Path) -> None:
    source = slides.tiled_slide(16_384, pyramid=True)
    store = tmp_path / "ours"
    jobs = {
        FLOOR: floor(tmp_path / "floor", source, "copy_tiles"),
        OURS: ours(store, source),
        BESIDE: ours(store, source, beside=True),
    } | peers_ingest.copier_jobs(source, tmp_path)
    costs = side_by_side(jobs)
    source_mb = source.stat().st_size / 1e6
    results.add(
        ratio_of("ingest, tiles and pyramid copied", costs, ours=OURS, floor=FLOOR, target=2, note=beside_note(costs)),
        absolute(
            "size of a copied slide", [c.written_mb / source_mb for c in costs[OURS]], unit="x its source", target=1.05
        ),
        absolute("files of a copied slide", [c.files for c in costs[OURS]], unit="files", target=MOST_FILES),
        *peers_ingest.copier_figures("ingest, tiles and pyramid copied", costs),
    )


def test_a_pyramid_is_made_at_the_cost_of_its_decoding_and_encoding(results: Results, tmp_path: Path) -> None:
    source = slides.tiled_slide(16_384, pyramid=False)
    jobs = {
        FLOOR: floor(tmp_path / "floor", source, "make_pyramid", mode="copy"),
        OURS: ours(tmp_path / "ours", source),
        BESIDE: ours(tmp_path / "ours", source, beside=True),
    } | peers_ingest.jobs(source, tmp_path)
    costs = side_by_side(jobs)
    work = "ingest, tiles copied and pyramid made"
    results.add(
        ratio_of(work, costs, ours=OURS, floor=FLOOR, target=1.2, note=beside_note(costs)),
        ratio_of(f"{work}: wall", costs, ours=OURS, floor=FLOOR, target=1.2, of=lambda cost: cost.wall_s, unit="s"),
        ratio_of(f"{work}: size", costs, ours=OURS, floor=FLOOR, target=1.05, of=lambda c: c.written_mb, unit="MB"),
        absolute(f"{work}: memory", [cost.peak_mb for cost in costs[OURS]], unit="MB", target=250),
        absolute(f"{work}: files", [cost.files for cost in costs[OURS]], unit="files", target=MOST_FILES),
        *peers_ingest.figures(work, costs, OURS),
    )


@pytest.mark.parametrize(
    ("name", "source"), [("deflated tiles", slides.lossless_slide), ("JPEG tiles, portable", slides.flat_slide)]
)
def test_recoding_costs_the_decoder_and_the_compressor(
    results: Results, tmp_path: Path, name: str, source: Any
) -> None:
    path = source(8192)
    jobs = {
        FLOOR: floor(tmp_path / "floor", path, "make_pyramid", mode="zstd"),
        OURS: ours(tmp_path / "ours", path, "portable"),
    }
    costs = side_by_side(jobs)
    work = f"ingest, re-coded: {name}"
    results.add(
        ratio_of(work, costs, ours=OURS, floor=FLOOR, target=1.2),
        ratio_of(f"{work}: size", costs, ours=OURS, floor=FLOOR, target=1.05, of=lambda c: c.written_mb, unit="MB"),
        absolute(f"{work}: memory", [cost.peak_mb for cost in costs[OURS]], unit="MB", target=250),
    )
