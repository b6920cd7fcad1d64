"""Replacing pseudonyms when the laboratory's key changes. No key comes here: the caller gives the new pseudonyms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable

    from warehouse.connection import Database, Warehouse

KINDS = ("patient", "entry", "file", "diagnosis")
"""Kinds of keyed hashes: patients, inbox entries known by name only, files as they were seen, and the digests of
suggestions, which are made from patients' pseudonyms."""


def key_ids(database: Database) -> tuple[str, ...]:
    """The marks of the keys that runs of this warehouse were made with; none for one that is older than the marks."""
    return tuple(sorted(str(row["key_id"]) for row in database.rows("key_ids")))


def replace_pseudonyms(warehouse: Warehouse, renew: Callable[[str, str], str]) -> dict[str, int]:
    """Put ``renew(kind, pseudonym)`` in the place of every pseudonym, all or none; kind to number replaced."""
    with warehouse.transaction():
        rows = warehouse.rows("pseudonyms")
        done: dict[str, int] = {}
        for kind in KINDS:
            before = [str(row["value"]) for row in rows if row["kind"] == kind]
            table = pa.table(
                {
                    "before": pa.array(before, pa.string()),
                    "after": pa.array([renew(kind, value) for value in before], pa.string()),
                }
            )
            warehouse.insert(f"rekey_{kind}", table)
            done[kind] = len(before)
    return done
