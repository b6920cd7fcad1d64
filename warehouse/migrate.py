"""Migrations: numbered SQL files, each applied once, in one transaction together with the note that it was.

The schema is written in ``warehouse/migrations`` and nowhere else. A database whose migrations are not
exactly the first ones of this package, or whose tables were changed by other hands, is refused.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from marrow_models.errors import WarehouseError
from warehouse.clock import naive_utc, utc_now
from warehouse.sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql", re.ASCII)
_PUBLISHED = "published:"
WAY_BACK = (
    "Nothing was changed. Restore the last backup with `marrow restore` (`marrow backup --list` shows them), "
    "or start with an empty home."
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step of the schema."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Digest (hex) of the text, to notice a file that was changed after it was applied."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def known_migrations() -> tuple[Migration, ...]:
    """The migrations of this package in order, numbered 1, 2, 3, ... without a gap."""
    files = sorted(resources.files("warehouse").joinpath("migrations").iterdir(), key=lambda f: f.name)
    found = [
        Migration(int(match[1]), match[2], file.read_text("utf-8"))
        for file in files
        if (match := _FILE.fullmatch(file.name))
    ]
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise WarehouseError("the migrations of this installation are not numbered 1, 2, 3, ...: install Marrow again.")
    return tuple(found)


def migrate(connection: DuckDBPyConnection, migrations: tuple[Migration, ...] | None = None) -> tuple[int, ...]:
    """Bring a database up to the schema of this package; the numbers that were applied now.

    Raises WarehouseError, and changes nothing, for a database that is not Marrow's, was written by a newer
    Marrow, or whose schema was altered.
    """
    todo = _pending(connection, known_migrations() if migrations is None else migrations)[1]
    for migration in todo:
        _apply(connection, migration)
    return tuple(m.number for m in todo)


def pending(connection: DuckDBPyConnection) -> tuple[int, ...]:
    """The numbers that :func:`migrate` would apply to a database that has rows; none for an empty or current one.

    Raises as :func:`migrate` does, and writes nothing.
    """
    applied, todo = _pending(connection, known_migrations())
    return tuple(m.number for m in todo) if applied else ()


def _pending(
    connection: DuckDBPyConnection, wanted: tuple[Migration, ...]
) -> tuple[list[tuple[int, str, str]], tuple[Migration, ...]]:
    """What was applied, and what is still to be."""
    applied = _applied(connection)
    for migration, (number, name, sha256) in zip(wanted, applied, strict=False):
        if (migration.number, migration.name, migration.sha256) != (number, name, sha256):
            raise WarehouseError(f"migration {number} of the warehouse is not the one of this Marrow. {WAY_BACK}")
    if len(applied) > len(wanted):
        raise WarehouseError(
            f"the warehouse has schema {len(applied)}, this Marrow knows {len(wanted)}: "
            f"use the newer Marrow that wrote it. {WAY_BACK}"
        )
    return applied, wanted[len(applied) :]


def check_published(connection: DuckDBPyConnection) -> None:
    """Raise WarehouseError unless the database was published by this version of Marrow; writes nothing."""
    if len(_applied(connection, _PUBLISHED)) != len(known_migrations()):
        raise WarehouseError("the file was published by another version of Marrow: publish again.")


def check_current(connection: DuckDBPyConnection) -> None:
    """Raise WarehouseError unless the database is a warehouse with the schema of this Marrow; writes nothing."""
    if len(_applied(connection)) != len(known_migrations()):
        raise WarehouseError(
            "the warehouse is of another version of Marrow: `marrow check` brings an older one up to this version."
        )


def mark_published(connection: DuckDBPyConnection) -> None:
    """Remove the private tables of a copy and mark it, so that it is never taken for the warehouse itself."""
    connection.execute(statement("drop_private_tables"))
    connection.execute(statement("mark_published"), {"catalogue": _PUBLISHED + _catalogue_digest(connection)})


def _applied(connection: DuckDBPyConnection, mark: str = "") -> list[tuple[int, str, str]]:
    tables = {name for (name,) in connection.execute(statement("tables")).fetchall()}
    if not tables:
        return []
    if "schema_migrations" not in tables:
        raise WarehouseError(f"the database is not a warehouse of Marrow. {WAY_BACK}")
    rows = connection.execute(statement("applied_migrations")).fetchall()
    if not rows or rows[-1][3] != mark + _catalogue_digest(connection):
        raise WarehouseError(f"tables or views of the warehouse were altered by other hands. {WAY_BACK}")
    return [(number, name, sha256) for number, name, sha256, _ in rows]


def _apply(connection: DuckDBPyConnection, migration: Migration) -> None:
    connection.begin()
    try:
        connection.execute(statement("create_schema_migrations"))
        connection.execute(migration.text)
        connection.execute(
            statement("insert_schema_migration"),
            {
                "number": migration.number,
                "name": migration.name,
                "sha256": migration.sha256,
                "catalogue": _catalogue_digest(connection),
                "applied_at": naive_utc(utc_now()),
            },
        )
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _catalogue_digest(connection: DuckDBPyConnection) -> str:
    rows = connection.execute(statement("catalogue")).fetchall()
    return hashlib.sha256(repr(rows).encode()).hexdigest()
