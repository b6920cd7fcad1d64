"""The published views as Parquet files under stable paths, swapped together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from marrow_models.errors import WarehouseError
from warehouse.dictionary import comments, notice
from warehouse.files import remove, sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from warehouse.connection import Database

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


def publish_parquet(database: Database, folder: Path, *, may_appear: Callable[[], None]) -> dict[str, Path]:
    """Write every view and point ``folder/parquet`` at the new files; view to path.

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
    for view in PARQUET_VIEWS:
        _write(database, view, version / f"{view}.parquet")
    sync(version)
    may_appear()
    _point(link, version)
    return {view: link / f"{view}.parquet" for view in PARQUET_VIEWS}


def _point(link: Path, version: Path) -> None:
    staged = link.with_name(".parquet.link")
    remove(staged)
    staged.symlink_to(version.name)
    staged.replace(link)
    sync(link.parent)


def _write(database: Database, view: str, path: Path) -> None:
    words = comments(database)[view]
    about = {"notice": notice(database), "comment": words.comment}
    with database.batches(view, BATCH_ROWS) as reader:
        schema = pa.schema(
            [field.with_metadata({"comment": words.columns[field.name]}) for field in reader.schema],
            metadata=about,
        )
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    sync(path)
