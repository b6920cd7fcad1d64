"""Questions of people and programs to the published file: read-only, one SELECT, bounded in time, memory and rows.

The question is answered in a process of its own: DuckDB's memory limit does not hold for long strings, and a process
can be ended however deep in a library it is. Whoever embeds this (the command line, a portal) calls :func:`ask`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from marrow_models.errors import UserError
from warehouse.sandbox_syntax import QueryRefused

if TYPE_CHECKING:
    from pathlib import Path

START_S = 30.0
"""Longest time that the process may take to start, beside the time of the question."""


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What one question may cost."""

    seconds: float = 30.0
    rows: int = 10_000
    memory_mb: int = 1024
    """DuckDB's buffers; the process as a whole may use four times as much address space."""
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of an answer; ``truncated`` when there were more than the limit."""

    table: pa.Table
    truncated: bool


def ask(published: Path, sql: str, limits: QueryLimits | None = None) -> Answer:
    """The answer to one SELECT over the published file.

    Raises
    ------
    QueryRefused
        It is no single SELECT, asks for what is closed, is wrong, or took more time or memory than its limits.
    UserError
        Nothing is published yet.
    """
    limits = limits or QueryLimits()
    if not published.is_file():
        raise UserError(f"nothing is published yet at {published}: run a night or `marrow publish` first.")
    request = json.dumps({"path": str(published), "sql": sql, "limits": asdict(limits)})
    command = [sys.executable, "-m", "warehouse.sandbox_child"]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, input=request.encode(), capture_output=True, timeout=START_S + limits.seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise QueryRefused(f"the query took longer than {limits.seconds:g} s and was ended.") from None
    if done.returncode == 0:
        return _answer(done.stdout, limits.rows)
    if done.returncode == REFUSED:
        raise QueryRefused(done.stderr.decode(errors="replace").strip())
    raise QueryRefused("the query needed more memory than it may use and was ended.")


REFUSED = 3
"""Exit code of the process when its standard error says in one sentence why there is no answer."""


def _answer(data: bytes, rows: int) -> Answer:
    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    return Answer(table.slice(0, rows), len(table) > rows)
