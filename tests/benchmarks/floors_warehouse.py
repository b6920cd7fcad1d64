"""What the warehouse is measured against: bare DuckDB on Parquet and on one flat table, and a copy of files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb


def read_bare(parquet: str, out: str) -> int:
    """Read a Parquet file into a table without keys or checks, on the disk; number of rows."""
    with duckdb.connect(out) as connection:
        connection.execute("CREATE TABLE cells AS SELECT * FROM read_parquet(?)", [parquet])
        return len(connection.table("cells"))


def copy_files(source: str, out: str) -> int:
    """Copy a folder (links within it once) or a file; bytes."""
    origin, target = Path(source), Path(out)
    files = [origin] if origin.is_file() else [file for file in origin.rglob("*") if file.is_file()]
    target.mkdir(parents=True)
    copied = set()
    for number, file in enumerate(files):
        if file.stat().st_ino not in copied:
            copied.add(file.stat().st_ino)
            shutil.copyfile(file, target / str(number))
            descriptor = os.open(target / str(number), os.O_RDONLY)
            os.fsync(descriptor)  # a publication is on the disk before anybody sees it
            os.close(descriptor)
    return sum(file.stat().st_size for file in target.iterdir())
