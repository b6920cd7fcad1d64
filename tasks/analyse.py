"""Detect and classify: the fields of a slide as plain Dask futures inside one coarse task.

A field's pixels are read on the worker that needs them, once for both networks. Futures are named by their content,
kept few at a time, and released as they complete.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marrow_models.bundle import load_exactly
from marrow_models.errors import Reason, SlideRefused
from marrow_models.pyramid.ingest import StoreReceipt
from marrow_models.records import CellTable, Field
from marrow_models.survey import Survey, choose_fields, neighbours
from marrow_models.taxonomy import Taxonomy, load_taxonomy
from tasks.night import Night
from tasks.stage import slide_stage
from warehouse.ledger import State

if TYPE_CHECKING:
    from distributed import Future

GROUP_UM = 512.0
"""Fields within a square of this side are one piece of work: read together, they need no halo between them."""
FIELDS_AHEAD = 2
"""Futures in flight per worker thread: enough that none waits, few enough that memory stays flat."""


@dataclass(frozen=True, slots=True)
class SlideCells:
    """All cells of a slide and the fields they were counted in."""

    cells: CellTable
    fields: tuple[Field, ...]
    seconds: float


@slide_stage("detect and classify", enters=State.ANALYSED)
def detect_and_classify(night: Night, slide_id: str, store: StoreReceipt, survey: Survey) -> SlideCells:
    """The cells of a slide: of its best fields until the target is counted, or of all readable ones.

    The survey only estimates; when the chosen fields held fewer cells of the differential than the target, the next
    best ones are added.
    """
    started = time.monotonic()
    taxonomy = load_taxonomy(night.bundle.taxonomy)
    result_key = night.result_key(slide_id, store.um_per_px)
    target = night.plan.target_cells
    left = list(choose_fields(survey, None))
    done: list[Field] = []
    tables: list[CellTable] = []
    while left:
        missing = target - counted(tables, taxonomy)
        if target and missing <= 0:
            break
        chosen = list(choose_fields(survey, missing, among=left)) if target else left
        groups = neighbours(chosen, round(GROUP_UM / store.um_per_px))
        analysed = len(done)
        for group, table in _cells_of(night, slide_id, result_key, groups):
            tables.append(table)
            analysed += len(group)
            night.progress.fields_done(slide_id, analysed, len(done) + len(chosen), sum(map(len, tables)))
        done += chosen
        left = [field for field in left if field not in chosen]
    cells = CellTable.concatenate(tables, night.bundle.labels, night.bundle.classifier.attributes)
    return SlideCells(cells, tuple(sorted(done, key=lambda field: field.field_id)), time.monotonic() - started)


def counted(tables: Sequence[CellTable], taxonomy: Taxonomy) -> int:
    """Cells of the differential among ``tables``."""
    return sum(taxonomy.get(label).in_differential for table in tables for label in table.cell_class)


def _cells_of(
    night: Night, slide_id: str, result_key: str, groups: Sequence[tuple[Field, ...]]
) -> Iterator[tuple[tuple[Field, ...], CellTable]]:
    """Each group of fields with its cells as the workers finish, a bounded number of groups at a time."""
    from distributed import as_completed

    waiting = iter(groups)
    limit_s = night.plan.slide_timeout_s
    ahead = list(islice(waiting, FIELDS_AHEAD * night.workers.threads))
    group_of = {_submit(night, slide_id, result_key, group): group for group in ahead}
    in_flight: Any = as_completed(list(group_of), loop=night.workers.client.loop, timeout=limit_s)
    try:
        for future in in_flight:
            yield group_of.pop(future), night.workers.wait(future)
            for group in islice(waiting, 1):
                following = _submit(night, slide_id, result_key, group)
                group_of[following] = group
                in_flight.add(following)
    except TimeoutError:
        raise SlideRefused(Reason.TIMEOUT, f"{limit_s:.0f} s") from None


def _submit(night: Night, slide_id: str, result_key: str, group: tuple[Field, ...]) -> Future[Any]:
    return night.workers.submit(
        f"fields-{result_key}-{'-'.join(str(field.field_id) for field in group)}",
        analyse_stored_fields,
        night.home.store(slide_id),
        group,
        night.bundle.path,
        night.bundle.digest,
        batch_size=night.plan.batch_size,
        tile_px=night.plan.tile_px,
    )


def analyse_stored_fields(
    store: Path, fields: tuple[Field, ...], bundle_path: Path, bundle_digest: str, *, batch_size: int, tile_px: int
) -> CellTable:
    """On a worker: the cells whose centre lies in one of ``fields``."""
    import torch

    from marrow_models.analysis import analyse_fields

    device = "cuda" if torch.cuda.is_available() else "cpu"
    bundle = load_exactly(bundle_path, bundle_digest)
    return analyse_fields(store, fields, bundle, batch_size=batch_size, tile_px=tile_px, device=device)
