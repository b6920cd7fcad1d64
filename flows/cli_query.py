"""`marrow query`: a question of an analyst, answered within limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_base import HomeOption, JsonOption, print_rows, stderr


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the published tables and views.")],
    home: HomeOption = Path("home"),
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Longest time.")] = 30.0,
    rows: Annotated[int, typer.Option(min=1, help="Most rows.")] = 10_000,
) -> None:
    """Answer a question in SQL to what is published. It is read-only and within limits."""
    from flows import command_query

    answer = command_query.query(home.absolute(), sql, seconds=seconds, rows=rows)
    if as_json or as_csv:
        (command_query.write_json if as_json else command_query.write_csv)(answer)
    else:
        print_rows(command_query.as_rows(answer), False, title=f"{len(answer.table)} rows")
    if answer.truncated:
        stderr.print(f"There are more than {rows} rows: raise --rows or ask for less.")
