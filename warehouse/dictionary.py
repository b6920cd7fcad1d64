"""The data dictionary: what every table, view and column means, from the comments in the database itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb

from warehouse.connection import Database
from warehouse.migrate import migrate


@dataclass(slots=True)
class Relation:
    """A table or a view and the meaning of its columns."""

    name: str
    kind: str
    """``table`` or ``view``."""
    comment: str
    columns: dict[str, str] = field(default_factory=dict)
    """Column to comment, in the order of the columns."""
    types: dict[str, str] = field(default_factory=dict)


def comments(database: Database) -> dict[str, Relation]:
    """Every table and view by name; an empty comment where there is none."""
    relations = {
        row["name"]: Relation(row["name"], row["kind"], row["comment"] or "") for row in database.rows("relations")
    }
    for row in database.rows("columns"):
        relation = relations[row["relation"]]
        relation.columns[row["name"]] = row["comment"] or ""
        relation.types[row["name"]] = row["type"]
    return relations


def notice(database: Database) -> str:
    """What holds for everything in the database: it is for research use only."""
    return str(database.rows("notice")[0]["notice"])


def dictionary_markdown() -> str:
    """The data dictionary of the schema of this package, views first, as Markdown."""
    with duckdb.connect(":memory:") as connection:
        migrate(connection)
        database = Database(connection)
        relations = comments(database)
        lines = ["# Data dictionary", "", notice(database), ""]
    for kind, title in (("view", "Views: what analysts read"), ("table", "Tables: what the views are made of")):
        lines += [f"## {title}", ""]
        for relation in (r for r in relations.values() if r.kind == kind):
            lines += [f"### {relation.name}", "", relation.comment, "", "| column | type | meaning |", "|---|---|---|"]
            lines += [
                f"| {column} | {relation.types[column]} | {_cell(comment)} |"
                for column, comment in relation.columns.items()
            ]
            lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
