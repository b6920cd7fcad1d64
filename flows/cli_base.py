"""What all commands share: where they print, their common options, exit codes. Light to import."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from flows.result import NightResult

RESEARCH_USE = "For Research Use Only. Not for use in diagnostic procedures."
EXIT_QUARANTINE = 3
"""Finished, with slides in quarantine; of `marrow verify`: finished, and something differs."""
EXIT_FAILED = 1
EXIT_USAGE = 2

LINE_WIDTH = 200
"""Width of tables where there is no terminal to ask."""


def _console(*, to_stderr: bool) -> Console:
    console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(stderr=to_stderr, highlight=False, width=LINE_WIDTH)


stdout = _console(to_stderr=False)
stderr = _console(to_stderr=True)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="MARROW_HOME", help="Folder of Marrow: slides, warehouse, published files.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def print_rows(rows: list[dict[str, Any]], as_json: bool, *, title: str, whole: Any = None) -> None:
    """Rows as a table, or the whole result as JSON."""
    if as_json:
        print_json(rows if whole is None else whole)
        return
    if not rows:
        stdout.print(title, markup=False)
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
    stdout.print(table)


def print_json(value: Any) -> None:
    """A value as JSON for machines; what JSON does not know is written as text."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_run(result: NightResult, as_json: bool) -> None:
    """What a run came to, and its exit code: NightFailed for a failed one, 3 with slides in quarantine."""
    print_rows(result.table, as_json, title=f"Run {result.run_id}: {result.state}", whole=result.as_dict())
    stderr.print(f"Published: {result.published}" if result.published else "Nothing was published.", markup=False)
    stderr.print(RESEARCH_USE)
    if result.failure:
        raise result.error()
    if result.quarantined:
        raise typer.Exit(EXIT_QUARANTINE)
