"""The published views as Parquet under stable paths, swapped together.

A view with a row a cell, class or field is a folder of files, one for the analyses of a run. The name of such a file is
a digest of all that its rows depend on, so a file that is there is never written again, whatever publication made it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from marrow_models.errors import WarehouseError
from warehouse.dictionary import Relation, comments
from warehouse.files import linked, remove, sync
from warehouse.notice import RESEARCH_USE_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from warehouse.connection import Database
    from warehouse.published_rows import New

PARQUET_VIEWS = (
    "slides",
    "cells",
    "cell_counts",
    "cell_attributes",
    "attribute_counts",
    "patient_diagnoses",
    "differentials",
    "fields",
    "laboratory",
    "runs",
    "models",
    "cell_classes",
    "validations",
    "night",
)
"""Views that are published as Parquet."""

BATCH_ROWS = 100_000


PARTED = ("cells", "cell_counts", "cell_attributes", "attribute_counts", "fields")
"""Views that are a folder of files, one a run: a file is written once and then linked from night to night."""

FROM_ROW = {
    "cells": "fact_cell",
    "cell_counts": "fact_cell_count",
    "cell_attributes": "fact_cell_attribute",
    "attribute_counts": "fact_attribute_count",
}
"""Views over the large tables, of which only the new rows are read."""

PARTS_AT_A_TIME = 100
"""Files that are open together."""


def publish_parquet(database: Database, folder: Path, new: New, *, may_appear: Callable[[], None]) -> dict[str, Path]:
    """Write what is ``new`` in every view and point ``folder/parquet`` at the files; view to path.

    ``parquet`` is a link to a numbered folder: one rename swaps all files. The folder before the new one is kept for
    readers that are in the middle of it. ``may_appear`` is asked just before that rename, and raises to prevent it.
    """
    link = folder / "parquet"
    if link.exists() and not link.is_symlink():
        raise WarehouseError("`parquet` in the published folder is not Marrow's: move it away and publish again.")
    previous = link.readlink().name if link.is_symlink() else ".parquet-000000"
    for version in folder.glob(".parquet-*"):
        if version.name != previous:
            remove(version)
    version = folder / f".parquet-{int(previous.rpartition('-')[2]) + 1:06d}"
    version.mkdir()
    words = comments(database)
    parts = _parts(database)
    for view in PARQUET_VIEWS:
        path = version / f"{view}.parquet"
        if view not in PARTED:
            _write(database, view, path, words[view])
            continue
        _write_parts(database, view, path, words[view], parts, new, folder / previous / path.name)
    sync(version)
    may_appear()
    _point(link, version)
    return {view: link / f"{view}.parquet" for view in PARQUET_VIEWS}


@dataclass(frozen=True, slots=True)
class _Part:
    """The shown analyses of one run."""

    name: str
    """Digest over all that their rows depend on: the same name, the same rows."""
    slide_ids: tuple[str, ...]
    result_keys: frozenset[str]


def _parts(database: Database) -> list[_Part]:
    basis = database.rows("basis")[0]["basis"]
    return [
        _Part(row["name"], tuple(row["slide_ids"]), frozenset(row["result_keys"]))
        for row in database.rows("parts", basis=basis)
    ]


def _write_parts(
    database: Database, view: str, path: Path, words: Relation, parts: list[_Part], new: New, earlier: Path
) -> None:
    """Link the files of a view that are there, and write the others."""
    path.mkdir()
    missing = [part for part in parts if not linked(earlier / _file(part.name), path / _file(part.name))]
    for begin in range(0, len(missing), PARTS_AT_A_TIME):
        _write_some(database, view, path, words, missing[begin : begin + PARTS_AT_A_TIME], new)
    if not parts:
        _write(database, view, path / _file("none"), words)
    sync(path)


def _file(name: str) -> str:
    return f"{name}.parquet"


def _write_some(database: Database, view: str, path: Path, words: Relation, parts: list[_Part], new: New) -> None:
    staging = pa.table(
        {
            "slide_id": pa.array([slide for part in parts for slide in part.slide_ids], pa.string()),
            "part": pa.array([place for place, part in enumerate(parts) for _ in part.slide_ids], pa.int32()),
        }
    )
    parameters = {}
    if view in FROM_ROW:
        fresh = new.results is not None and all(part.result_keys <= new.results for part in parts)
        parameters["first"] = new.first[FROM_ROW[view]] if fresh else 0
    with (
        database.selected(f"parts_of_{view}", staging, BATCH_ROWS, **parameters) as reader,
        ExitStack() as files,
    ):
        schema = _schema(reader.schema.remove(reader.schema.get_field_index("part")), words)
        writers = [files.enter_context(_writer(path / _file(part.name), schema)) for part in parts]
        for batch in reader:
            of_part = batch.column("part").to_numpy()
            batch = pa.RecordBatch.from_arrays(batch.drop_columns("part").columns, schema=schema)
            for place in np.unique(of_part):
                mine = of_part == place
                writers[place].write_batch(batch if mine.all() else batch.filter(pa.array(mine)))
    for part in parts:
        sync(path / _file(part.name))


def _point(link: Path, version: Path) -> None:
    staged = link.with_name(".parquet.link")
    remove(staged)
    staged.symlink_to(version.name)
    staged.replace(link)
    sync(link.parent)


def _write(database: Database, view: str, path: Path, words: Relation) -> None:
    with database.batches(view, BATCH_ROWS) as reader:
        schema = _schema(reader.schema, words)
        with _writer(path, schema) as writer:
            for batch in reader:
                writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    sync(path)


def _schema(bare: pa.Schema, words: Relation) -> pa.Schema:
    about = {"notice": RESEARCH_USE_ONLY, "comment": words.comment}
    return pa.schema([field.with_metadata({"comment": words.columns[field.name]}) for field in bare], metadata=about)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Only words repeat; a dictionary of measurements is tried, found useless and thrown away for every column.
    words = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_integer(field.type)]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=words)
