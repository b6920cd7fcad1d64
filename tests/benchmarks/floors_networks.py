"""What analysis is measured against, and what is measured: jobs for :mod:`tests.benchmarks.job`.

The floor of an analysis is its two networks alone: the tensors that they got in an analysis of the same fields, already
in memory, given to them once more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

from marrow_models.bundle import load_bundle
from marrow_models.memory import keep_freed_memory
from marrow_models.networks.heatmap import TOTAL_STRIDE_PX
from marrow_models.networks.loading import load_networks
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import Field, Rect
from marrow_models.survey import LARGE_PIECE_UM, PIECE_UM, choose_fields, neighbours, pieces_of_work, survey
from marrow_models.tiling import Cut, tiles_of
from tasks.analyse import analyse_stored_fields
from tasks.plan import NightPlan

BATCH_SIZE, TILE_PX = (NightPlan.model_fields[name].default for name in ("batch_size", "tile_px"))
"""Those of a night."""

Groups = list[tuple[Field, ...]]


def groups_of(store: str, bundle: str, cells: int) -> Groups:
    """Fields in which about ``cells`` cells are expected in pieces of work, or (0) all in those of a large slide."""
    slide = Pyramid.open(Path(store))
    fields = choose_fields(survey(slide, load_bundle(bundle)), cells or None)
    return neighbours(fields, round((PIECE_UM if cells else LARGE_PIECE_UM) / slide.um_per_px))


def analyse_group(store: str, bundle: str, group: tuple[Field, ...]) -> int:
    """A worker's call, and how many cells it found."""
    place = Path(store), group, *bundle_of_night(bundle)
    return len(analyse_stored_fields(*place, BATCH_SIZE, TILE_PX).cells)


@lru_cache(maxsize=4)
def bundle_of_night(bundle: str) -> tuple[Path, str]:
    """Folder and digest, which a night asks for once and gives to its workers."""
    opened = load_bundle(bundle)
    return opened.path, opened.digest


def analysis(groups: Groups, store: str, bundle: str, cells: int) -> dict[str, float]:
    """Store on disk to cells, in a process whose networks are loaded."""
    before = time.thread_time()
    found = sum(analyse_group(store, bundle, group) for group in groups)
    return {"cells": found, "thread_s": time.thread_time() - before, "private_mb": peak_private_mb()}


def _ready(store: str, bundle: str, cells: int) -> Groups:
    groups = groups_of(store, bundle, cells)
    _warm(store, bundle, groups)
    return groups


def _warm(store: str, bundle: str, groups: Groups) -> None:
    """Load the networks and run each once; then forget the tiles that were decoded for it."""
    from marrow_models.pyramid import store as pyramid_store

    analyse_group(store, bundle, groups[-1][:1])
    pyramid_store._TILES.__init__(64 << 20)  # type: ignore[misc]


analysis.prepare = _ready  # type: ignore[attr-defined]


def analysis_giving_back(groups: Groups, store: str, bundle: str, cells: int) -> dict[str, float]:
    """The same where the allocator gives freed memory back at once, as Dask asks its workers to."""
    return analysis(groups, store, bundle, cells)


def _ready_giving_back(store: str, bundle: str, cells: int) -> Groups:
    from marrow_models import memory

    memory.keep_freed_memory = lambda: False  # type: ignore[assignment]
    return _ready(store, bundle, cells)


analysis_giving_back.prepare = _ready_giving_back  # type: ignore[attr-defined]

Seen = list[tuple[torch.nn.Module, torch.Tensor]]


def bare_networks(seen: Seen, store: str, bundle: str, cells: int, precision: str = "float32") -> dict[str, float]:
    """The same networks on the same pixels, which are in memory (that of the GPU, where there is one)."""
    before = time.thread_time()
    reduced = torch.autocast("cuda", torch.bfloat16) if precision == "bfloat16" else nullcontext()
    with torch.inference_mode(), reduced:
        for network, pixels in seen:
            network(pixels)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return {"calls": len(seen), "thread_s": time.thread_time() - before}


def _seen(store: str, bundle: str, cells: int, precision: str = "float32") -> Seen:
    """What both networks were given in an analysis."""
    groups = _ready(store, bundle, cells)
    seen: Seen = []
    with _watched(bundle, lambda network, inputs: seen.append((network, inputs[0].clone()))):
        for group in groups:
            analyse_group(store, bundle, group)
    return seen


bare_networks.prepare = _seen  # type: ignore[attr-defined]


@contextmanager
def _watched(bundle: str, hook: Callable[[torch.nn.Module, Any], None]) -> Iterator[None]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    hooks = [part.network.register_forward_pre_hook(hook) for part in load_networks(load_bundle(bundle), device)]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


def detector_by_core(ready: Any, bundle: str, core_px: int) -> dict[str, float]:
    """CPU milliseconds of the detector alone for a square of ``PIECE_UM``, cut into cores of ``core_px`` with halos."""
    network, tiles = ready
    spent = []
    for _ in range(7):
        before = time.thread_time()
        with torch.inference_mode():
            network(tiles[:1])
        spent.append(time.thread_time() - before)
    return {"ms": sorted(spent)[3] * len(tiles) * 1e3, "tiles": len(tiles)}


def _tiles(bundle: str, core_px: int) -> tuple[torch.nn.Module, torch.Tensor]:
    """A detector and the tiles of a square, of random bytes; it has run once."""
    keep_freed_memory()
    detector, _ = load_networks(load_bundle(bundle))
    side_px = round(PIECE_UM / detector.settings.um_per_px)
    cut = Cut(core_px, detector.halo_px)
    tiles = list(tiles_of(Rect(0, 0, side_px, side_px), cut, stride_px=TOTAL_STRIDE_PX))
    height, width = (max(sizes) for sizes in zip(*((t.read.height, t.read.width) for t in tiles), strict=True))
    pixels = torch.randint(0, 256, (1, height, width, 3), generator=torch.Generator().manual_seed(1))
    one = pixels.to(torch.uint8).permute(0, 3, 1, 2)
    with torch.inference_mode():
        detector.network(one)
    return detector.network, one.expand(len(tiles), -1, -1, -1)


detector_by_core.prepare = _tiles  # type: ignore[attr-defined]


def by_workers(ready: tuple[Any, Groups], store: str, bundle: str, cells: int, workers: int) -> dict[str, float]:
    """The groups of a slide on worker processes of a night's own cluster, each with a core of its own.

    One worker has one core, two have two: that a reading thread may use an idle core beside it is another figure.
    """
    client, groups = ready
    started = time.perf_counter()
    futures = [client.submit(analyse_group, store, bundle, group, pure=False) for group in groups]
    found = sum(future.result() for future in futures)
    return {"wall_s": time.perf_counter() - started, "cells": found, "private_mb": max(_worker_mb(client))}


def _cluster(store: str, bundle: str, cells: int, workers: int) -> tuple[Any, Groups]:
    from tasks.home import Home

    slide = Pyramid.open(Path(store))
    fields = choose_fields(survey(slide, load_bundle(bundle)), cells or None)
    groups = pieces_of_work(fields, slide.um_per_px, workers=2)  # the same pieces for one worker and for two
    plan = NightPlan(home=Path(store).parent / f"home-{workers}", cluster=f"local:{workers}")
    client = _opened(plan, Home(plan.home))
    names = list(client.scheduler_info(n_workers=-1)["workers"])
    cores = sorted(os.sched_getaffinity(0))
    for name, core in zip(names, cycle(cores), strict=False):
        client.run(_on_one_core, core, workers=[name])
    client.run(_warm, store, bundle, groups)
    return client, groups


by_workers.prepare = _cluster  # type: ignore[attr-defined]


_OPEN = ExitStack()
"""Clusters stay open until their process ends with its work."""


def _opened(plan: Any, home: Any) -> Any:
    """Client of a night's cluster."""
    from flows.cluster import open_cluster

    home.scratch.mkdir(parents=True, exist_ok=True)
    return _OPEN.enter_context(open_cluster(plan, home)).client


def _on_one_core(core: int) -> None:
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
    torch.set_num_threads(1)


def peak_private_mb() -> float:
    """Largest memory of this process without what files of libraries take, which all workers share, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
    return (int(sizes["VmHWM"]) - int(sizes["RssFile"])) / 1024


def _worker_mb(client: Any) -> Sequence[float]:
    return list(client.run(peak_private_mb).values())


def differential(_nothing: Any, store: str, bundle: str, target: int, warm: bool) -> dict[str, float]:
    """Survey, fields until ``target`` cells of the differential, their classes, and a table that is ready to load.

    As ``tasks.analyse`` does it, on two worker processes of a night's cluster.
    """
    from marrow_models.records import CellTable
    from marrow_models.taxonomy import load_taxonomy
    from tasks.analyse import counted

    client = _nothing
    opened = load_bundle(bundle)
    taxonomy = load_taxonomy(opened.taxonomy)
    started = time.perf_counter()
    surveyed = client.submit(_survey, store, bundle, pure=False).result()
    um_per_px = Pyramid.open(Path(store)).um_per_px
    left, tables, fields = list(surveyed.fields), [], 0
    while left and counted(tables, taxonomy) < target:
        chosen = list(choose_fields(surveyed, target - counted(tables, taxonomy), among=left))
        futures = [
            client.submit(_cells, store, bundle, group, pure=False) for group in pieces_of_work(chosen, um_per_px)
        ]
        tables += [future.result() for future in futures]
        fields += len(chosen)
        left = [field for field in left if field not in chosen]
    cells = CellTable.concatenate(tables, opened.labels, opened.classifier.attributes)
    wall = time.perf_counter() - started
    return {
        "wall_s": wall,
        "cells": len(cells),
        "counted": counted(tables, taxonomy),
        "fields": fields,
        "private_mb": max(_worker_mb(client)),
    }


def _two_workers(store: str, bundle: str, target: int, warm: bool) -> Any:
    """Two workers that have imported nothing yet, or whose networks are loaded."""
    from tasks.home import Home

    plan = NightPlan(home=Path(store).parent / "home-differential", cluster="local:2")
    client = _opened(plan, Home(plan.home))
    if warm:
        client.run(_warm, store, bundle, groups_of(store, bundle, 1))
    return client


differential.prepare = _two_workers  # type: ignore[attr-defined]


def _survey(store: str, bundle: str) -> Any:
    return survey(Pyramid.open(Path(store)), load_bundle(bundle))


def _cells(store: str, bundle: str, group: tuple[Field, ...]) -> Any:
    return analyse_stored_fields(Path(store), group, *bundle_of_night(bundle), BATCH_SIZE, TILE_PX).cells
