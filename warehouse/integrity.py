"""What must hold of the whole warehouse, asked of the rows themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warehouse.connection import Database


def faults(database: Database) -> tuple[str, ...]:
    """Every invariant that does not hold, in words with the number of rows; empty for a sound warehouse."""
    return tuple(f"{row['fault']}: {row['rows']}" for row in database.rows("integrity") if row["rows"])
