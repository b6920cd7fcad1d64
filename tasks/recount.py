"""A stored slide counted again, in this process: the same survey, fields and cells as by the workers of a night.

No cell depends on how fields are grouped, on tile or batch size or on the number of workers, so this is the very
result of the night, bit for bit on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marrow_models.analysis import analyse_fields
from marrow_models.bundle import Bundle
from marrow_models.pyramid.manifest import read_manifest
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import CellTable, Field
from marrow_models.survey import choose_fields, pieces_of_work, survey
from marrow_models.taxonomy import load_taxonomy

BATCH = 64
TILE_PX = 1040


@dataclass(frozen=True, slots=True)
class Recount:
    """What a slide has, counted again."""

    um_per_px: float
    fields: tuple[Field, ...]
    cells: CellTable


def recount(store: Path, bundle: Bundle, target_cells: int, *, progress: Callable[[int], None]) -> Recount:
    """The cells of the slide at ``store``: of its best fields until the target is counted, or (0) of all.

    ``progress`` is told the number of cells so far. Raises as the stages of a night do.
    """
    taxonomy = load_taxonomy(bundle.taxonomy)
    um_per_px = float(read_manifest(store)["receipt"]["um_per_px"])
    found = survey(Pyramid.open(store), bundle)
    left = list(choose_fields(found, None))
    done: list[Field] = []
    tables: list[CellTable] = []
    while left:
        missing = target_cells - sum(taxonomy.get(label).in_differential for t in tables for label in t.cell_class)
        if target_cells and missing <= 0:
            break
        chosen = list(choose_fields(found, missing, among=left)) if target_cells else left
        for group in pieces_of_work(chosen, um_per_px):
            tables.append(analyse_fields(store, group, bundle, batch_size=BATCH, tile_px=TILE_PX))
            progress(sum(map(len, tables)))
        done += chosen
        left = [field for field in left if field not in chosen]
    cells = CellTable.concatenate(tables, bundle.labels, bundle.classifier.attributes)
    return Recount(um_per_px, tuple(sorted(done, key=lambda field: field.field_id)), cells)
