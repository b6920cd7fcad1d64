"""Cells on their way into the warehouse, for benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd  # noqa: F401 - PyArrow imports it at its first array; the flow's process has it for the gates
import pyarrow as pa
import pyarrow.parquet as pq

from marrow_models.records import CellTable
from tests.unit.store_house.factories import START, analysis_record, run_record, slide_record
from warehouse.connection import open_warehouse
from warehouse.dimensions import store_model
from warehouse.load import load_slide
from warehouse.records import CellClassRecord, ModelRecord
from warehouse.runs import start_run
from warehouse.staging import cells_table

LABELS = tuple(f"class{k}" for k in range(34))
FIELDS = 8


def write_cells(path: Path, count: int) -> None:
    """``count`` cells of one slide as Parquet, with the columns that the warehouse keeps."""
    rng = np.random.default_rng(1)
    probabilities = rng.random((count, len(LABELS)), np.float32) ** 12
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    cells = CellTable(
        x_um=rng.uniform(0, 2000, count),
        y_um=np.sort(rng.uniform(0, 2000, count)),
        width_um=rng.uniform(8, 20, count).astype(np.float32),
        height_um=rng.uniform(8, 20, count).astype(np.float32),
        detection_score=rng.uniform(0.3, 1, count).astype(np.float32),
        probabilities=probabilities,
        field_id=rng.integers(0, FIELDS, count, np.int32),
        near_missing=np.zeros(count, bool),
        labels=LABELS,
    )
    key = pa.array(["k1"] * count, pa.string())
    pq.write_table(cells_table(cells).append_column("result_key", key), path)


ROWS_AT_A_TIME = 16_384
"""So much of the file stays in the processor's cache; a whole group of rows would be read into fresh memory."""
COLUMNS = ("x_um", "y_um", "width_um", "height_um", "detection_score", "field_id", "near_missing")


def read_cells(path: Path) -> CellTable:
    """The cells of such a file, without a Python object for any of them; what Marrow computes itself is not read."""
    with pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        column = {name: np.empty(rows, file.schema_arrow.field(name).type.to_pandas_dtype()) for name in COLUMNS}
        probabilities = np.empty((rows, len(LABELS)), np.float32)
        first = 0
        for batch in file.iter_batches(ROWS_AT_A_TIME, columns=[*COLUMNS, "probabilities"], use_threads=False):
            here = slice(first, first + len(batch))
            for name, values in column.items():
                values[here] = batch.column(name).to_numpy(zero_copy_only=False)
            probabilities[here] = batch.column("probabilities").flatten().to_numpy().reshape(-1, len(LABELS))
            first = here.stop
    return CellTable(**column, probabilities=probabilities, labels=LABELS)


def model() -> ModelRecord:
    """A model of 34 classes, the last four outside the differential."""
    classes = tuple(
        CellClassRecord(label, label, None, None, label, "lineage", place < 30) for place, label in enumerate(LABELS)
    )
    return ModelRecord("m1", "toy", "1", "d1", "c1", LABELS, "toy34", "1", "t1", classes)


def load_more(warehouse: str, slides: int) -> int:
    """Load ``slides`` slides of 5,000 cells each into a warehouse that holds others already; cells."""
    rng = np.random.default_rng(2)
    count = 5000
    probabilities = rng.random((count, len(LABELS)), np.float32)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    cells = CellTable(
        *(rng.uniform(0, 2000, count) for _ in range(2)),
        *(rng.uniform(8, 20, count).astype(np.float32) for _ in range(2)),
        detection_score=rng.uniform(0.3, 1, count).astype(np.float32),
        probabilities=probabilities,
        field_id=rng.integers(0, FIELDS, count, np.int32),
        near_missing=np.zeros(count, bool),
        labels=LABELS,
    )
    with open_warehouse(Path(warehouse)) as opened:
        start_run(opened, run_record("later"))
        store_model(opened, model())
        for number in range(slides):
            slide = slide_record(f"s{number}", first_seen_at=START)
            load_slide(
                opened, slide, analysis_record(cells, f"k{number}", fields=FIELDS, slide_id=slide.slide_id), cells
            )
    return slides * count


def load(begun: Path, parquet: str, out: str, slides: int = 1) -> int:
    """Load the cells of a Parquet file as those of ``slides`` slides into a warehouse, and close it; cells."""
    cells = read_cells(Path(parquet))
    counts = 0
    with open_warehouse(begun) as warehouse:
        for number, part in enumerate(np.array_split(np.arange(len(cells)), slides)):
            mine = cells.take(part) if slides > 1 else cells
            slide = slide_record(f"s{number}", first_seen_at=START)
            analysis = analysis_record(mine, f"k{number}", fields=FIELDS, slide_id=slide.slide_id)
            counts += load_slide(warehouse, slide, analysis, mine).cells
    return counts


def _begin(parquet: str, out: str, slides: int = 1) -> Path:
    """A warehouse in which a night has begun, as there is one before any slide is loaded."""
    path = Path(out) / "marrow.duckdb"
    with open_warehouse(path) as warehouse:
        start_run(warehouse, run_record())
        store_model(warehouse, model())
    return path


load.prepare = _begin  # type: ignore[attr-defined]
