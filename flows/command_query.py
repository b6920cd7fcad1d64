"""`marrow query`: a question in SQL to what is published, within limits, as table, JSON or CSV."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any, TextIO

from tasks.home import Home
from warehouse.sandbox import Answer, QueryLimits, ask

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text that begins like this for a formula and runs it."""


def query(home: Path, sql: str, *, seconds: float, rows: int) -> Answer:
    """The answer to one SELECT over what ``home`` has published; see :func:`warehouse.sandbox.ask`."""
    return ask(Home(home).published / "marrow.duckdb", sql, QueryLimits(seconds=seconds, rows=rows))


def as_rows(answer: Answer) -> list[dict[str, Any]]:
    """One dictionary a row, keys in the order of the columns."""
    rows: list[dict[str, Any]] = answer.table.to_pylist()
    return rows


def write_json(answer: Answer, out: TextIO = sys.stdout) -> None:
    """Columns, rows, and whether there were more."""
    document = {"columns": answer.table.column_names, "rows": as_rows(answer), "truncated": answer.truncated}
    out.write(json.dumps(document, indent=2, default=str) + "\n")


def write_csv(answer: Answer, out: TextIO = sys.stdout) -> None:
    """CSV that a spreadsheet opens without running anything: texts that look like formulas begin with an apostrophe."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_harmless(name) for name in answer.table.column_names])
    for row in answer.table.to_pylist():
        writer.writerow([_harmless(value) for value in row.values()])


def _harmless(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, default=str) if isinstance(value, list | dict) else ""
    return f"'{text}" if text.startswith(FORMULA) else text or value
