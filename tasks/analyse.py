"""Detect and classify: the fields of a slide as plain Dask futures inside one coarse task.

A field's pixels are read on the worker that needs them, once for both networks. Futures are named by their content,
kept few at a time, and released as they complete; what they bring is kept as a receipt until the slide is loaded.
"""

from __future__ import annotations

import logging
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
from marrow_models.survey import Survey, choose_fields, pieces_of_work
from marrow_models.taxonomy import Taxonomy, load_taxonomy
from marrow_models.tiling import LEAST_TILE_PX
from tasks.night import Night
from tasks.receipts import Receipts
from tasks.stage import slide_stage
from warehouse.ledger import State

if TYPE_CHECKING:
    from distributed import Future

    from marrow_models.analysis import Analysed

FIELDS_AHEAD = 2
"""Futures in flight per worker thread: enough that none waits, few enough that memory stays flat."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SlideCells:
    """All cells of a slide and the fields they were counted in."""

    cells: CellTable
    fields: tuple[Field, ...]
    seconds: float


@slide_stage("detect and classify")
def detect_and_classify(night: Night, slide_id: str, store: StoreReceipt, survey: Survey) -> SlideCells:
    """The cells of a slide: of its best fields until the target is counted, or of all readable ones.

    The survey only estimates; when the chosen fields held fewer cells of the differential than the target, the next
    best ones are added. The ledger says when memory was too short for the batch size that was asked for.
    """
    started = time.monotonic()
    taxonomy = load_taxonomy(night.bundle.taxonomy)
    work = _Work(night, slide_id, night.result_key(slide_id, store.um_per_px))
    target = night.plan.target_cells
    left = list(choose_fields(survey, None))
    done: list[Field] = []
    tables: list[CellTable] = []
    while left:
        missing = target - counted(tables, taxonomy)
        if target and missing <= 0:
            break
        chosen = list(choose_fields(survey, missing, among=left)) if target else left
        groups = pieces_of_work(chosen, store.um_per_px, night.workers.threads)
        analysed = len(done)
        for group, table in work.cells_of(groups):
            tables.append(table)
            analysed += len(group)
            night.progress.fields_done(slide_id, analysed, len(done) + len(chosen), sum(map(len, tables)))
        done += chosen
        left = [field for field in left if field not in chosen]
    cells = CellTable.concatenate(tables, night.bundle.labels, night.bundle.classifier.attributes)
    night.enter(slide_id, State.ANALYSED, work.memory_note)
    return SlideCells(cells, tuple(sorted(done, key=lambda field: field.field_id)), time.monotonic() - started)


def counted(tables: Sequence[CellTable], taxonomy: Taxonomy) -> int:
    """Cells of the differential among ``tables``."""
    return sum(taxonomy.get(label).in_differential for table in tables for label in table.cell_class)


class _Work:
    """The fields of one slide on their way to the workers and back."""

    def __init__(self, night: Night, slide_id: str, result_key: str) -> None:
        self._night, self._slide_id, self._key = night, slide_id, result_key
        self._receipts = Receipts(night.home.work / result_key)
        self._batch_size, self._tile_px = night.plan.batch_size, night.plan.tile_px
        self.memory_note = ""
        """For the ledger: how far the batch had to be reduced; empty when it had not."""

    def cells_of(self, groups: Sequence[tuple[Field, ...]]) -> Iterator[tuple[tuple[Field, ...], CellTable]]:
        """Each group of fields with its cells: first those with a receipt, then the others as workers finish."""
        unknown = []
        for group in groups:
            table = self._receipts.read(group)
            if table is None:
                unknown.append(group)
            else:
                yield group, table
        for group, table in self._computed(unknown):
            self._receipts.write(group, table)
            yield group, table

    def _computed(self, groups: Sequence[tuple[Field, ...]]) -> Iterator[tuple[tuple[Field, ...], CellTable]]:
        """A bounded number of groups at a time."""
        if not groups:
            return
        from distributed import as_completed

        workers, limit_s = self._night.workers, self._night.plan.slide_timeout_s
        waiting = iter(groups)
        group_of = {self._submit(group): group for group in islice(waiting, FIELDS_AHEAD * workers.threads)}
        in_flight: Any = as_completed(list(group_of), loop=workers.client.loop, timeout=limit_s)
        try:
            for future in in_flight:
                group = group_of.pop(future)
                yield group, self._taken(group, future)
                for following in islice(waiting, 1):
                    submitted = self._submit(following)
                    group_of[submitted] = following
                    in_flight.add(submitted)
        except TimeoutError:
            raise SlideRefused(Reason.TIMEOUT, f"{limit_s:.0f} s") from None

    def _submit(self, group: tuple[Field, ...]) -> Future[Any]:
        return self._night.workers.submit(self._name(group), *self._call(group))

    def _taken(self, group: tuple[Field, ...], future: Future[Any]) -> CellTable:
        """The cells of a future. What killed its worker is tried again alone, and in small pieces of memory."""
        try:
            analysed: Analysed = self._night.workers.wait(future)
        except SlideRefused as refusal:
            if refusal.reason is not Reason.WORKER_DIED:
                raise
            plan = self._night.plan
            self._reduce(max(1, plan.batch_size // 8), max(LEAST_TILE_PX, plan.tile_px // 4), "a worker died")
            analysed = self._night.workers.call_alone(self._name(group), *self._call(group))
        if analysed.reduced:
            self._reduce(analysed.effort.batch_size, analysed.effort.tile_px, f"on the {analysed.effort.device}")
        return analysed.cells

    def _reduce(self, batch_size: int, tile_px: int, why: str) -> None:
        self._batch_size, self._tile_px = min(self._batch_size, batch_size), min(self._tile_px, tile_px)
        self.memory_note = f"memory: batch size {self._batch_size}, tiles of {self._tile_px} px, {why}"
        _log.warning("%s %s", self._slide_id, self.memory_note)

    def _name(self, group: tuple[Field, ...]) -> str:
        return f"fields-{self._key}-{'-'.join(str(field.field_id) for field in group)}"

    def _call(self, group: tuple[Field, ...]) -> tuple[Any, ...]:
        night = self._night
        place = night.home.store(self._slide_id), group, night.bundle.path, night.bundle.digest
        return analyse_stored_fields, *place, self._batch_size, self._tile_px


def analyse_stored_fields(
    store: Path, fields: tuple[Field, ...], bundle_path: Path, bundle_digest: str, batch_size: int, tile_px: int
) -> Analysed:
    """On a worker: the cells whose centre lies in one of ``fields``."""
    import torch

    from marrow_models.analysis import analyse_within_memory
    from marrow_models.memory import Effort, give_back, keep_freed_memory

    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bundle = load_exactly(bundle_path, bundle_digest)
    try:
        return analyse_within_memory(store, fields, bundle, Effort(batch_size, tile_px, device))
    finally:
        give_back()
