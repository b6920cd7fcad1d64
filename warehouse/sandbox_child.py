"""The process that answers one question: ``python -m warehouse.sandbox_child``, used by :mod:`warehouse.sandbox`."""

from __future__ import annotations

import json
import resource
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from marrow_models.errors import UserError
from warehouse.connection import CLOSED_TO_THE_WORLD
from warehouse.migrate import check_published
from warehouse.sandbox import REFUSED, QueryLimits
from warehouse.sandbox_syntax import QueryRefused, check_question
from warehouse.sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH_ROWS = 2048
LARGEST_ANSWER_BYTES = 256 << 20


def main() -> int:
    """Answer the request on standard input by an Arrow stream on standard output; the exit code."""
    request: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    limits = QueryLimits(**request["limits"])
    address_space = 4 * limits.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The kernel's own limit, should a library neither answer the interrupt nor end.
    cpu_s = int(limits.seconds * limits.threads) + 30
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    try:
        batches, schema = select(Path(request["path"]), request["sql"], limits)
    except (UserError, duckdb.Error) as error:
        sys.stderr.write(reason(error, limits))
        return REFUSED
    with pa.ipc.new_stream(sys.stdout.buffer, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return 0


def select(path: Path, sql: str, limits: QueryLimits) -> tuple[list[pa.RecordBatch], pa.Schema]:
    """Batches and schema of an answer; UserError or an error of DuckDB when there is none."""
    with duckdb.connect(str(path), read_only=True, config=_config(limits)) as connection:
        check_published(connection)
        connection.execute(statement("configure"))
        check_question(connection, sql)
        timer = threading.Timer(limits.seconds, connection.interrupt)
        timer.start()
        try:
            return _fetch(connection, sql, limits)
        finally:
            timer.cancel()
            timer.join()


def _fetch(connection: DuckDBPyConnection, sql: str, limits: QueryLimits) -> tuple[list[pa.RecordBatch], pa.Schema]:
    """Batches up to one row beyond the limit, from which the caller knows that there were more."""
    reader: Any = connection.execute(sql).to_arrow_reader(BATCH_ROWS)
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in reader:
        batches.append(batch.slice(0, limits.rows + 1 - rows))
        rows += len(batches[-1])
        size += batch.nbytes
        if size > LARGEST_ANSWER_BYTES:
            raise QueryRefused(f"the answer is larger than {LARGEST_ANSWER_BYTES >> 20} MiB: ask for less.")
        if rows > limits.rows:
            break
    schema = reader.schema
    reader.close()
    return batches, schema


def _config(limits: QueryLimits) -> dict[str, Any]:
    return CLOSED_TO_THE_WORLD | {
        "memory_limit": f"{limits.memory_mb}MiB",
        "threads": limits.threads,
        "temp_directory": "",  # nothing is spilled beside the published file
        "python_enable_replacements": False,
    }


def reason(error: Exception, limits: QueryLimits) -> str:
    """Why there is no answer, in one sentence without a path."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, duckdb.InterruptException):
        return f"the query took longer than {limits.seconds:g} s and was ended."
    if isinstance(error, duckdb.OutOfMemoryException):
        return "the query needed more memory than it may use and was ended."
    if isinstance(error, duckdb.PermissionException):
        return "files, network and settings are closed to queries."
    return f"the query failed: {str(error).splitlines()[0]}"


if __name__ == "__main__":
    sys.exit(main())
